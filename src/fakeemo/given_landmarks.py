"""Landmarks that users have already: tables of OpenFace, of py-feat or of this workflow, in place of a video.

All three name their columns alike: ``frame``, ``timestamp`` (s), ``success``, and ``x_0..x_67``, ``y_0..y_67`` in
pixels of the frame, in the order of the iBUG 68-point scheme. (``X_0``, in capitals, are OpenFace's 3D points in mm.)
No pixels are looked at. So a jittered variant (section 2.4) is the same points in another crop, whereas those of a
video are detected anew in each.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from fakeemo import landmarks, shape_predictor
from fakeemo.augment import check_jitter, jittered, normalised, offsets, write_landmarks, write_variants
from fakeemo.errors import VideoError
from fakeemo.faces import Box, detector_box
from fakeemo.landmarks import N_POINTS
from fakeemo.samples import TABLE_SUFFIXES
from fakeemo.tables import software, write_table
from fakeemo.tracking import UNITS, bad_video

_MOST_MISSING = 1000  # frames without a row, for each that has one: beyond, numbers are something else
COORDINATES = tuple(f"{axis}_{i}" for axis in "xy" for i in range(N_POINTS))


def use_landmarks(
    table: str | Path,
    rois_out: str | Path,
    landmarks_out: str | Path,
    variants_out: str | Path,
    *,
    video_id: str,
    n_variants: int,
    jitter_px: Sequence[int],
    seed: int,
    min_frames: int,
    on_bad_video: Literal["stop", "skip"] = "stop",
    model: str | Path | None = None,
    fps: float | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> None:
    """Write the tables of boxes, landmarks and variants that the workflow makes of a video, from given landmarks.

    The box of a frame is where the landmark predictor would have wanted it: see :func:`boxes_of`. In the table of boxes
    ``state`` is ``given``, or ``lost`` where there is no face.

    Args:
        table: CSV or Parquet, see :func:`read_landmarks`.
        rois_out: as :func:`fakeemo.tracking.track_video` writes it.
        landmarks_out: as :func:`fakeemo.augment.landmark_video` writes it.
        variants_out: likewise.
        video_id: the sample's id; with ``seed`` it decides the offsets.
        n_variants: number of jittered variants beside variant 0.
        jitter_px: largest number of pixels removed at the left and at the upper edge.
        seed: of the offsets.
        min_frames: fewest frames with a face that make a video usable.
        on_bad_video: ``skip`` writes tables without rows, whose headers say why.
        model: a 68-point shape predictor, whose mean face places the box.
        fps: frames a second, for a table without timestamps.
        start_s: begin of the part that is used, in seconds.
        end_s: end of that part.

    Raises :class:`FakeemoError` where the table cannot be used and ``on_bad_video`` is ``stop``.
    """
    status, reason = "ok", ""
    try:
        columns, points = read_landmarks(table, fps)
        used = (columns["timestamp"] >= (start_s or 0)) & (columns["timestamp"] < (np.inf if end_s is None else end_s))
        columns, points = {name: values[used] for name, values in columns.items()}, points[used]
        n_faces = int(np.isfinite(points[:, 0, 0]).sum())
        if n_faces < min_frames:
            raise VideoError(
                "too_short" if n_faces else "no_face",
                f"a face in {n_faces} of {len(points)} frames, tracking.min_frames is {min_frames}",
            )
    except VideoError as error:
        status, reason = bad_video(table, error, on_bad_video)
        columns = {"frame": np.zeros(0, np.int32), "timestamp": np.zeros(0)}
        points = np.zeros((0, N_POINTS, 2), np.float32)

    predictor = Path(model) if model else landmarks.default_model()
    boxes = boxes_of(points, shape_predictor.read(predictor).initial_shape)
    check_jitter(video_id, boxes, jitter_px)
    drawn = offsets(video_id, n_variants, jitter_px, seed)
    crops = jittered(boxes[:, None], drawn)  # (frames, variants, 4)
    chosen = np.repeat(landmarks.select(points)[:, None], len(drawn), axis=1)
    scaled = normalised(chosen.reshape(-1, *chosen.shape[2:]), crops.reshape(-1, 4)).reshape(chosen.shape)
    common: dict[str, Any] = {
        "parameters": {
            "landmarks": Path(table).name,
            "video_id": video_id,
            "n_variants": n_variants,
            "jitter_px": list(jitter_px),
            "seed": seed,
            "model": predictor.name,
            "fps": fps,
            "start_s": start_s,
            "end_s": end_s,
        },
        "versions": software("numpy", "pyarrow"),
        "status": status,
        "reason": reason,
    }
    unknown = np.full(len(boxes), np.nan, np.float32)
    has_face = np.isfinite(boxes[:, 0])
    rois = {
        "frame": columns["frame"],
        "timestamp": columns["timestamp"],
        **{name: boxes[:, i] for i, name in enumerate("xywh")},
        "psr": unknown,
        "confidence": unknown,
        "state": np.where(has_face, "given", "lost").astype(object),
        "n_candidates": unknown,
    }
    write_table(rois_out, rois, kind="rois", units=UNITS, **common)
    write_landmarks(landmarks_out, columns, boxes, points.transpose(2, 1, 0), common)
    write_variants(variants_out, columns, drawn, scaled.transpose(3, 2, 1, 0), common)


def read_landmarks(path: str | Path, fps: float | None = None) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32]]:
    """Read a table of landmarks, one face a frame.

    Rows are put in the order of their frames, and a frame that has none gets one without a face. A frame has no face
    where ``success`` is 0 or a coordinate is missing. Of several faces (column ``face_id``) the one that is seen in
    most frames is taken. Frames that are counted from 1, as OpenFace does, are counted from 0 here.

    Args:
        path: CSV (blanks around names do not matter) or Parquet.
        fps: frames a second, where there is no column ``timestamp``.

    Returns:
        Columns ``frame`` and ``timestamp`` (s, from the first frame on), and points ``(frames, 68, 2)`` in pixels, NaN
        where there is no face.

    Raises:
        VideoError: ``missing``, or ``unreadable`` where the file is no such table.
    """
    table = _read(Path(path))
    lacking = [name for name in ("frame", *COORDINATES) if name not in table]
    if lacking:
        hint = ""
        if "X_0" in table and "x_0" not in table:
            hint = "; X_0 and so on are positions in mm: let OpenFace write 2D landmarks too (-2Dfp)"
        elif "x_477" in table or "x_67" not in table:
            hint = "; 68 points are needed (of py-feat: a detector with landmark_model mobilefacenet, say)"
        raise _unreadable(path, f"lacks column {', '.join(lacking[:3])}{', ...' if len(lacking) > 3 else ''}{hint}")
    values = {name: _numbers(path, name, table[name]) for name in ("frame", *COORDINATES)}
    if "timestamp" in table:
        values["timestamp"] = _numbers(path, "timestamp", table["timestamp"])
    elif fps is None:
        raise _unreadable(path, "has no column timestamp; write its frames a second into column fps of the sheet")
    rows = _one_face(path, table, values)
    values = {name: column[rows] for name, column in values.items()}
    frame = values["frame"]
    if not len(frame) or not np.isfinite(frame).all() or (frame % 1).any() or frame.min() < 0:
        raise _unreadable(path, "column frame must hold whole numbers of 0 or more, one in each row")
    if len(set(frame)) < len(frame):
        number = int(frame[np.flatnonzero(np.diff(np.sort(frame)) == 0)[0]])
        raise _unreadable(path, f"has several rows of frame {number} and no column face_id; keep one face")
    order = np.argsort(frame)
    if "success" in table:
        succeeded = _numbers(path, "success", table["success"])[rows] > 0
    else:
        succeeded = np.ones(len(frame), bool)
    points = np.stack([np.stack([values[f"{axis}_{i}"] for i in range(N_POINTS)], axis=-1) for axis in "xy"], axis=-1)
    points[~succeeded | ~np.isfinite(points).all(axis=(1, 2))] = np.nan

    frame, points = frame[order].astype(np.int64), points[order].astype(np.float32)
    frame -= frame[0] == 1
    # Frames may be every third of the file by intent: those between are then no gap.
    step = max(1, int(np.gcd.reduce(np.diff(frame)))) if len(frame) > 1 else 1
    if (frame[-1] - frame[0]) // step > _MOST_MISSING * len(frame):
        raise _unreadable(path, f"has {len(frame)} frames between {frame[0]} and {frame[-1]}; are these frame numbers?")
    whole = np.arange(frame[0], frame[-1] + 1, step)
    at = (frame - frame[0]) // step
    filled = np.full((len(whole), N_POINTS, 2), np.nan, np.float32)
    filled[at] = points
    if "timestamp" in values:
        time = values["timestamp"][order]
        if not np.isfinite(time).all() or (np.diff(time) <= 0).any():
            raise _unreadable(path, "column timestamp must hold seconds that rise from frame to frame")
        timestamp = np.interp(whole, frame, time)
    else:
        assert fps is not None
        timestamp = whole / fps
    return {"frame": whole.astype(np.int32), "timestamp": timestamp}, filled


def boxes_of(points: NDArray[np.float32], mean_face: NDArray[np.float32]) -> NDArray[np.float64]:
    """Give the face's box in each frame, ``(frames, 4)`` as x, y, w, h, from its points ``(frames, 68, 2)``.

    It is the box in which the predictor's mean face lies best on the points (least squares over place and size), mapped
    back from dlib's convention of a face box to the Haar detector's (:func:`fakeemo.faces.detector_box`).
    """
    centred = mean_face.astype(np.float64) - mean_face.mean(axis=0)
    middle = points.mean(axis=1, dtype=np.float64)
    side = ((points - middle[:, None]) * centred).sum(axis=(1, 2)) / (centred**2).sum()
    corner = middle - side[:, None] * mean_face.mean(axis=0)
    # A box of columns in place of numbers: all are mapped at once.
    return np.stack(detector_box(Box(*np.column_stack([corner, side, side]).T)), axis=-1)


def _one_face(
    path: str | Path, table: dict[str, list[Any]], values: dict[str, NDArray[np.float64]]
) -> NDArray[np.bool_]:
    """Mark the rows of the face that has most of them with landmarks; all rows where faces have no number."""
    if "face_id" not in table:
        return np.ones(len(values["frame"]), bool)
    face = _numbers(path, "face_id", table["face_id"])
    seen = np.isfinite(values["x_0"])
    faces, counts = np.unique(face[seen], return_counts=True)
    return face == faces[counts.argmax()] if len(faces) > 1 else np.ones(len(face), bool)


def _read(path: Path) -> dict[str, list[Any]]:
    if not path.exists():
        raise VideoError("missing", f"{path}: no such file")
    try:
        if path.suffix.lower() == TABLE_SUFFIXES[0]:
            table = pa.csv.read_csv(path)
        else:
            with pa.parquet.ParquetFile(path) as file:
                table = file.read()
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, f"cannot be read as {path.suffix[1:]} ({' '.join(str(error).split())})") from error
    return {name.strip(): table[i].to_pylist() for i, name in enumerate(table.column_names)}


def _numbers(path: str | Path, name: str, column: list[Any]) -> NDArray[np.float64]:
    try:
        return np.array([np.nan if value in (None, "") else value for value in column], np.float64)
    except (TypeError, ValueError):
        raise _unreadable(path, f"column {name} must hold numbers") from None


def _unreadable(path: str | Path, what: str) -> VideoError:
    return VideoError("unreadable", f"{path}: {what}")
