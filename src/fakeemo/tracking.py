"""The face's box in every frame of a video (paper, section 2.1): Haar detection, then MOSSE tracking.

States of a frame: ``absent``, no face has been seen yet; ``detected``, the first detection; ``tracked``;
``redetected``, found again by the detector; ``lost``, a face was seen before but not here. The box is NaN in
``absent`` and ``lost`` frames, and only in those.

A correlation filter can follow the background with full confidence. So the detector looks at the tracked box
every now and then, and frames in which the face had gone unseen for too long are taken back: a track ends
with the last frame in which the detector saw the face.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from fakeemo.errors import FakeemoError, VideoError
from fakeemo.faces import (
    Box,
    Face,
    FaceChoice,
    Look,
    choose_face,
    detect_faces,
    distance,
    face_near,
    likeness,
    look_of,
    overlap,
)
from fakeemo.mosse import Mosse
from fakeemo.progress import progress
from fakeemo.tables import software, write_table
from fakeemo.video import Frame, probe, read_frames

# Boxes of tracker and detector on one face overlap by 0.7 and more; less, and the tracker has slipped.
_DRIFTED = 0.6

UNITS = {
    "timestamp": "s",
    "x": "px of the upright frame",
    "y": "px of the upright frame",
    "w": "px of the upright frame",
    "h": "px of the upright frame",
    "psr": "peak-to-sidelobe ratio, 11 x 11 pixels around the peak left out; NaN where the tracker did not run",
    "confidence": "weight of the Haar cascade's last stage; NaN where it did not run or saw no face there",
    "n_candidates": "faces in the whole frame; NaN where the whole frame was not searched",
}


@dataclass(frozen=True)
class TrackingSettings:
    """The keys of the config's section ``tracking``."""

    face_choice: FaceChoice = "largest"  # among several; the authors' code takes the lowest
    min_face: float = 0.15  # smallest face, as a share of the frame's shorter side; the authors: 200 of 1080 px
    search_s: float | None = None  # how long to look for the first face; None: to the end
    psr_threshold: float = 8.0  # a window with less has lost the face; Bolme et al. and OpenCV's sample: 7, 8
    learning_rate: float = 0.125  # of the filter's running average, as in Bolme et al.
    warps: int = 128  # training warps of the first window, as in OpenCV's sample
    scale: Literal["adaptive", "fixed"] = "adaptive"  # fixed: the plain MOSSE of the paper
    check_s: float = 1.0  # how often the detector looks at the tracked box
    unseen_s: float = 2.0  # how long it may see no face there (a turned head, a hand) before the track ends
    same_person: float = 0.6  # distance of dlib's face descriptors up to which a face found again is the same
    min_frames: int = 10  # fewest frames with a face that make a video usable


def track(
    frames: Iterable[Frame],
    settings: TrackingSettings,
    *,
    seed: int,
    roi: Box | None = None,
    roi_frame: int = 0,
) -> dict[str, np.ndarray]:
    """Follow one face through ``frames``; give the columns of the ROI table, one row for each frame.

    With ``roi`` the track starts with that box in frame ``roi_frame`` (its number in the file), and the
    frames before it are ``absent``.

    Raises :class:`VideoError`: ``no_face``, ``too_short`` (fewer than ``min_frames`` frames with a face, or
    no frames at all), ``bad_roi``, and what ``frames`` raises.
    """
    follower = _Follower(settings, seed, roi, roi_frame)
    for frame in frames:
        follower.step(frame)
        if not follower.looks and settings.search_s is not None:
            first = follower.rows[0].timestamp
            if roi is None and frame.timestamp - first >= settings.search_s:
                raise VideoError("no_face", f"no face found within tracking.search_s = {settings.search_s:g} s")
    follower.finish()
    return _columns(follower.rows)


def track_video(
    video: str | Path,
    out: str | Path,
    *,
    settings: TrackingSettings,
    seed: int,
    on_bad_video: Literal["stop", "skip"] = "stop",
    roi: Box | tuple[float, float, float, float] | None = None,
    roi_frame: int = 0,
    start_s: float | None = None,
    end_s: float | None = None,
) -> None:
    """Write the ROI table of a video file to ``out``.

    A video that cannot be used raises :class:`FakeemoError` with ``on_bad_video="stop"``; with ``"skip"`` its
    table has zero rows, and its header says why.
    """
    parameters = asdict(settings) | {
        "seed": seed, "roi": roi, "roi_frame": roi_frame, "start_s": start_s, "end_s": end_s,
    }  # fmt: skip
    status, reason = "ok", ""
    try:
        frames = progress(
            read_frames(video, "grey", start_s, end_s), f"track {Path(video).name}", "frame", probe(video).n_frames
        )
        columns = track(frames, settings, seed=seed, roi=None if roi is None else Box(*roi), roi_frame=roi_frame)
    except VideoError as error:
        status, reason = bad_video(video, error, on_bad_video)
        columns = _columns([])
    write_table(
        out,
        columns,
        kind="rois",
        units=UNITS,
        parameters=parameters,
        versions=software("av", "numpy", "opencv-python"),
        status=status,
        reason=reason,
    )


def bad_video(video: str | Path, error: VideoError, on_bad_video: Literal["stop", "skip"]) -> tuple[str, str]:
    """Give status and reason for the table of a video that cannot be used.

    Raises :class:`FakeemoError`, which says how to go on, where ``on_bad_video`` is ``stop``.
    """
    if on_bad_video == "stop":
        raise FakeemoError(
            f"{_named(video, error.reason)} [{error.status}]. Mend or replace the file, take its row out of"
            " the sample sheet, or set on_bad_video: skip"
        ) from error
    return error.status, _named(video, error.reason)


def _named(video: str | Path, reason: str) -> str:
    return reason if reason.startswith(str(video)) else f"{video}: {reason}"


@dataclass
class _Row:
    """A row of the table."""

    frame: int
    timestamp: float
    state: str = ""
    box: Box | None = None
    psr: float = np.nan
    confidence: float = np.nan
    n_candidates: float = np.nan


class _Follower:
    """The state machine of one video: it searches for the face, or follows it with a tracker."""

    def __init__(self, settings: TrackingSettings, seed: int, roi: Box | None, roi_frame: int) -> None:
        self.settings, self.roi, self.roi_frame = settings, roi, roi_frame
        self.rng = np.random.default_rng(seed)
        self.rows: list[_Row] = []
        self.tracker: Mosse | None = None
        self.looks: list[Look] = []  # of the face, when first seen and when last seen by the detector
        # Of the present track:
        self.last_box = Box(0, 0, 0, 0)  # where the detector last saw the face
        self.first_row = 0
        self.seen_row = 0  # the last one in which the detector saw the face
        self.next_check = 0.0  # s
        self.confirmed = self.doubted = False  # whether a check has succeeded, has failed

    def step(self, frame: Frame) -> None:
        """Add the row of the next frame."""
        row = _Row(frame.index, frame.timestamp)
        self.rows.append(row)
        if self.tracker is not None:
            self._follow(self.tracker, frame.image, row)
        elif self.roi is not None and not self.looks:
            row.state = "absent"
            if frame.index == self.roi_frame:
                self._start_at_roi(frame.image, row, self.roi)
        else:
            self._search(frame.image, row)

    def finish(self) -> None:
        """End with the clip: raise if too little of a face was seen in it."""
        self._drop_unconfirmed()
        n_faces, n_frames = sum(row.box is not None for row in self.rows), len(self.rows)
        if not n_frames:
            raise VideoError("too_short", "no frame lies between start_s and end_s")
        if self.roi is not None and not any(row.frame == self.roi_frame for row in self.rows):
            raise VideoError("bad_roi", f"roi_frame {self.roi_frame} is not among the {n_frames} frames used")
        if not n_faces:
            raise VideoError("no_face", f"no face in its {n_frames} frames; try a lower tracking.min_face, or a roi")
        if n_faces < self.settings.min_frames:
            raise VideoError(
                "too_short",
                f"a face in {n_faces} of {n_frames} frames, tracking.min_frames is {self.settings.min_frames}",
            )

    def _follow(self, tracker: Mosse, image: np.ndarray, row: _Row) -> None:
        box, row.psr = tracker.locate(image)
        if row.psr < self.settings.psr_threshold:
            self._drop_unconfirmed()
            self._search(image, row)
            return
        if row.timestamp >= self.next_check:
            face = face_near(image, box)
            if face is not None and self._is_same(look_of(image, face.box), sure_from=0.5):
                if overlap(face.box, box) < _DRIFTED:
                    self._start(image, row, face, "redetected")
                    return
                row.confidence = face.confidence
                self.confirmed = True
                self._seen(image, face.box, self.settings.check_s)
            else:
                self.doubted = True
                self.next_check = row.timestamp + self.settings.check_s / 5
                patience = self.settings.unseen_s if self.confirmed else self.settings.check_s
                if row.timestamp - self.rows[self.seen_row].timestamp > patience:
                    self._take_back(self.seen_row + 1)
                    self._drop_unconfirmed()
                    self._search(image, row)
                    return
        row.box, row.state = tracker.learn(image), "tracked"

    def _search(self, image: np.ndarray, row: _Row) -> None:
        """Look for the face in the whole frame; start a track if it is there."""
        if self.tracker is not None:
            self.tracker, self.next_check = None, row.timestamp
        row.state, row.box = "lost" if self.looks else "absent", None
        smallest = self.settings.min_face * min(image.shape)
        if self.looks:
            smallest = min(smallest, 0.7 * self.last_box.w)
        faces = detect_faces(image, smallest)
        row.n_candidates = len(faces)
        if not self.looks:
            if faces:
                self._start(image, row, choose_face(faces, self.settings.face_choice, image.shape), "detected")
            return
        # A track must not go over to a bystander: only the person tracked before will do, and of several faces
        # first the one where that person was last.
        if faces and row.timestamp >= self.next_check:
            for face in sorted(faces, key=lambda face: -overlap(face.box, self.last_box)):
                if self._is_same(look_of(image, face.box), sure_from=0.75):
                    self._start(image, row, face, "redetected")
                    return
            self.next_check = row.timestamp + self.settings.check_s / 5  # to tell people apart takes long

    def _start_at_roi(self, image: np.ndarray, row: _Row, roi: Box) -> None:
        """Start a track on the user's box, whatever the detector says."""
        height, width = image.shape
        if min(roi.w, roi.h) < 8 or min(roi.x, roi.y) < 0 or roi.x + roi.w > width or roi.y + roi.h > height:
            given = ",".join(f"{value:g}" for value in roi)
            raise VideoError("bad_roi", f"roi {given} (x,y,w,h) does not lie in the {width} x {height} frame")
        self._start(image, row, Face(roi, np.nan), "detected")
        self.confirmed = True
        if face_near(image, roi) is None:
            self.next_check = np.inf  # the detector does not know this face, so its silence will say nothing

    def _start(self, image: np.ndarray, row: _Row, face: Face, state: str) -> None:
        row.box, row.state, row.confidence = face.box, state, face.confidence
        self.tracker = Mosse(
            image,
            face.box,
            rng=self.rng,
            warps=self.settings.warps,
            learning_rate=self.settings.learning_rate,
            adapt_scale=self.settings.scale == "adaptive",
        )
        self.first_row = len(self.rows) - 1
        self.confirmed, self.doubted = state == "redetected", False
        self._seen(image, face.box, self.settings.check_s / 5)

    def _seen(self, image: np.ndarray, box: Box, next_check_s: float) -> None:
        """Note that the detector saw the face in this frame."""
        self.seen_row = len(self.rows) - 1
        self.next_check = self.rows[-1].timestamp + next_check_s
        self.looks = [*self.looks[:1], look_of(image, box)]
        self.last_box = box

    def _is_same(self, look: Look, sure_from: float) -> bool:
        """Say whether this is the face tracked before; above a likeness of ``sure_from`` at first sight."""
        if likeness(self.looks[-1], look) >= sure_from:
            return True
        return min(distance(known, look) for known in self.looks) <= self.settings.same_person

    def _drop_unconfirmed(self) -> None:
        """Take the whole track back if the detector saw its face once and then never again."""
        if self.tracker is not None and self.doubted and not self.confirmed:
            if self.rows[self.first_row].state == "detected":
                self.looks = []
            self._take_back(self.first_row)

    def _take_back(self, first: int) -> None:
        for row in self.rows[first:]:
            row.box, row.state = None, "lost" if self.looks else "absent"


def _columns(rows: list[_Row]) -> dict[str, np.ndarray]:
    boxes = np.array([row.box or (np.nan,) * 4 for row in rows], np.float64).reshape(-1, 4)
    return {
        "frame": np.array([row.frame for row in rows], np.int32),
        "timestamp": np.array([row.timestamp for row in rows], np.float64),
        **{name: boxes[:, i] for i, name in enumerate("xywh")},
        "psr": np.array([row.psr for row in rows], np.float32),
        "confidence": np.array([row.confidence for row in rows], np.float32),
        "state": np.array([row.state for row in rows], object),
        "n_candidates": np.array([row.n_candidates for row in rows], np.float32),
    }
