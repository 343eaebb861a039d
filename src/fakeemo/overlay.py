"""A copy of a video with the face path drawn into every frame: box, landmarks, state, PSR and confidence."""

import os
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from fakeemo.contact_sheet import STATES, draw_face, draw_text, number
from fakeemo.errors import FakeemoError
from fakeemo.files import replacing
from fakeemo.landmarks import N_POINTS
from fakeemo.preprocessing import preprocess_video
from fakeemo.progress import progress
from fakeemo.tables import read_table
from fakeemo.tracking import TrackingSettings
from fakeemo.video import Frame, read_frames

# Whole numbers of these are the frame periods of 24, 25, 30, 50 and 60 Hz, of 1001/1000 times those, and ms.
_TIME_BASE = Fraction(1, 120_000)
_BT709, _LIMITED = 1, 1  # FFmpeg's numbers


def write_overlay(
    video: str | Path,
    out: str | Path,
    *,
    rois: str | Path | None = None,
    landmarks: str | Path | None = None,
    roi: tuple[float, float, float, float] | None = None,
    roi_frame: int = 0,
    start_s: float | None = None,
    end_s: float | None = None,
) -> None:
    """Write an annotated H.264 copy of a video: upright, without sound, each frame shown when it was in the video.

    The first frame drawn is shown at once, also where ``start_s`` leaves out what comes before; the times written
    into the picture are those of the video. Sides of an odd number of pixels get one more.

    Args:
        video: the video file.
        out: the file to write; its name ends in ``.mp4``.
        rois: the video's table of face boxes from the workflow, with the frames that it was made for.
        landmarks: its table of landmarks. Without both tables the face is tracked here, with the default settings.
        roi: for tracking here: the face's box x, y, w, h in pixels of the upright frame ``roi_frame``.
        roi_frame: number of that frame in the file.
        start_s: for tracking here: begin of the part that is used, in seconds.
        end_s: end of that part.

    Raises :class:`FakeemoError` if there is no face to draw, the video or a table cannot be read or they do not belong
    together, or ``out`` cannot be written.
    """
    if (rois is None) != (landmarks is None):
        raise FakeemoError("the tables rois and landmarks go together: give both, or neither")
    if rois is not None and (roi, start_s, end_s) != (None, None, None):
        raise FakeemoError("roi, start_s and end_s are for tracking, but the tables hold what was tracked before")
    if Path(out).suffix.lower() != ".mp4":
        raise FakeemoError(f"{out}: the name of the video to write must end in .mp4")
    if os.path.exists(out) and os.path.exists(video) and os.path.samefile(out, video):
        raise FakeemoError(f"{out}: is the video itself; name another file with --out")
    if rois is not None and landmarks is not None:
        _draw(video, out, rois, landmarks)
        return
    with tempfile.TemporaryDirectory() as folder:
        rois, landmarks, variants = (f"{folder}/{name}.parquet" for name in ("rois", "landmarks", "variants"))
        # "skip": the table then says why there is nothing to draw; "stop" speaks of the sample sheet.
        preprocess_video(
            video,
            rois,
            landmarks,
            variants,
            video_id=Path(video).name,
            tracking=TrackingSettings(),
            seed=0,
            n_variants=0,
            jitter_px=(0, 0),
            on_bad_video="skip",
            roi=roi,
            roi_frame=roi_frame,
            start_s=start_s,
            end_s=end_s,
        )
        _draw(video, out, rois, landmarks)


def _draw(video: str | Path, out: str | Path, rois: str | Path, landmarks: str | Path) -> None:
    table, header = read_table(rois)
    if header["kind"] != "rois":
        raise FakeemoError(f"{rois}: holds {header['kind']}, not face boxes; they are in results/rois")
    if header["status"] != "ok":
        raise FakeemoError(f"{header['reason']} [{header['status']}]; name another video")
    points, point_header = read_table(landmarks)
    if point_header["kind"] != "landmarks":
        raise FakeemoError(f"{landmarks}: holds {point_header['kind']}, not landmarks; they are in results/landmarks")
    if not np.array_equal(points["frame"], table["frame"]):
        raise FakeemoError(f"{landmarks}: its frames are not those of {rois}; give two tables of one video")
    boxes = np.stack([table[name] for name in "xywh"], axis=1)
    shapes = np.stack([[points[f"{axis}_{i}"] for i in range(N_POINTS)] for axis in "xy"]).transpose(2, 1, 0)
    span = header["parameters"]["start_s"], header["parameters"]["end_s"]
    strangers = FakeemoError(f"{video}: its frames are not those of {rois}; name the table of this very file")
    n_drawn = 0
    try:
        with replacing(out) as temporary, av.open(str(temporary), "w") as container:
            stream: Any = None
            frames = read_frames(video, "bgr", *span)
            for frame in progress(frames, f"overlay {Path(video).name}", "frame", len(boxes)):
                if n_drawn == len(boxes) or abs(frame.timestamp - table["timestamp"][n_drawn]) > 1e-6:
                    raise strangers
                row = {name: column[n_drawn] for name, column in table.items()}
                _annotate(frame, row, boxes[n_drawn], shapes[n_drawn])
                image = _even(frame.image)
                if stream is None:
                    stream = _add_stream(container, image, table["timestamp"])
                picture = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(
                    format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED
                )
                picture.pts = round((frame.timestamp - table["timestamp"][0]) / _TIME_BASE)
                picture.time_base = _TIME_BASE
                container.mux(stream.encode(picture))
                n_drawn += 1
            if n_drawn < len(boxes):
                raise strangers
            container.mux(stream.encode())
    except OSError as error:
        raise FakeemoError(f"{out}: cannot be written ({error.strerror or error})") from error


def _annotate(frame: Frame, row: dict[str, Any], box: NDArray[np.float64], points: NDArray[np.float32]) -> None:
    """Draw into a frame what a row of its tables says."""
    image, state = frame.image, row["state"]
    height, width = image.shape[:2]
    size = max(0.35, min(height, width) / 960)
    line, margin = round(36 * size), round(12 * size)
    lines = (
        f"frame {frame.index}   {frame.timestamp:.3f} s",
        f"{state}   PSR {number(row['psr'])}   confidence {number(row['confidence'])}",
    )
    band = image[: 2 * line + margin]
    band[:] = band // 3
    cv2.rectangle(image, (0, 0), (margin - 1, len(band) - 1), STATES[state], cv2.FILLED)
    if np.isfinite(box).all():
        draw_face(image, state, box, points)
    else:
        cv2.rectangle(image, (0, 0), (width - 1, height - 1), STATES[state], margin)
    weight = max(1, round(1.6 * size))
    for i, text in enumerate(lines):
        draw_text(image, text, (2 * margin, line * (i + 1)), (255, 255, 255), size, weight, room=width - 3 * margin)


def _even(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row or column where their number is odd: H.264 stores colours for 2 x 2 pixels."""
    height, width = image.shape[:2]
    return np.asarray(cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE))


def _add_stream(container: Any, image: NDArray[np.uint8], times: NDArray[np.float64]) -> Any:
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 25
    stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
    stream.height, stream.width = image.shape[:2]
    stream.pix_fmt = "yuv420p"
    # Marks last for one frame and are thin: no frame borrows from later ones, and colours are coded finer than usual.
    stream.options = {"preset": "veryfast", "crf": "20", "x264-params": "bframes=0:chroma-qp-offset=-6"}
    context = stream.codec_context
    context.time_base = _TIME_BASE
    context.color_range, context.colorspace = _LIMITED, _BT709
    context.color_primaries = context.color_trc = _BT709
    return stream
