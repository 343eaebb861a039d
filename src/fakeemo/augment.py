"""Augmented variants (section 2.4 of the paper): the landmarks of every frame, anew on jittered crops of the face.

"One way to do it is to choose a random number, then use it in removing that amount of pixels on edge for a
detected face [...] and generate the corresponding facial landmarks on this image in a repetitive fashion."
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakeemo import contact_sheet, face_picture, faces, landmarks
from fakeemo.errors import FakeemoError
from fakeemo.landmarks import N_POINTS, N_SELECTED
from fakeemo.progress import progress
from fakeemo.tables import read_table, software, write_table
from fakeemo.video import Frame, read_frames

BATCH = 256  # (frame, box) pairs that go to the predictor at once ...
BATCH_FRAMES = 16  # ... from so many frames at most: the pixels of more do not stay in the processor's cache


def landmark_video(
    video: str | Path,
    rois: str | Path,
    landmarks_out: str | Path,
    variants_out: str | Path,
    sheet_out: str | Path | None = None,
    face_out: str | Path | None = None,
    *,
    video_id: str,
    n_variants: int,
    jitter_px: Sequence[int],
    seed: int,
    engine: landmarks.Engine = "batched",
    model: str | Path | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> None:
    """Write the landmarks of a video and of its jittered variants, decoding it once.

    Args:
        video: the video file.
        rois: its table of face boxes, a row per decoded frame. If its status is not "ok", both outputs get
            that status and no rows.
        landmarks_out: table to write, a row per frame: frame, timestamp, success (1 where there is a face),
            x_0..x_67, y_0..y_67 in pixels of the frame, NaN where there is no face.
        variants_out: table to write, a row per variant and frame: variant (0 is not jittered), frame, timestamp,
            dx, dy, u_0..u_39, v_0..v_39 scaled to [-1, 1] over the jittered crop, NaN where there is no face.
        sheet_out: picture to write, see :mod:`fakeemo.contact_sheet`; None: none.
        face_out: picture of the first face to write, see :mod:`fakeemo.face_picture`; None: none.
        video_id: the sample's id; with ``seed`` it decides the offsets.
        n_variants: number of jittered variants beside variant 0.
        jitter_px: largest number of pixels removed at the left and at the upper edge.
        seed: of the offsets.
        engine: "batched" or "dlib".
        model: a 68-point shape predictor in dlib's format; :func:`fakeemo.landmarks.default_model` if absent.
        start_s: begin of the part that is read, in seconds, the same as for ``rois``.
        end_s: end of that part.

    Raises :class:`FakeemoError` if the frames are not those of ``rois`` or the jitter leaves nothing of a box,
    and :class:`fakeemo.errors.VideoError` if the video cannot be read.
    """
    table, header = read_table(rois)
    if header["status"] != "ok":
        table = {name: column[:0] for name, column in table.items()}
    boxes = np.stack([table[name].astype(np.float64) for name in "xywh"], axis=-1)
    check_jitter(video_id, boxes, jitter_px)
    drawn = offsets(video_id, n_variants, jitter_px, seed)
    predictor = landmarks.load_predictor(engine, model)
    thumbnails: dict[int, contact_sheet.Thumbnail] = {}
    face: list[NDArray[np.uint8]] = []
    if header["status"] == "ok":
        frames = contact_sheet.keep_thumbnails(read_frames(video, "grey", start_s, end_s), boxes, thumbnails)
        frames = face_picture.keep_first_face(frames, boxes, face)
        counted = progress(frames, f"landmarks {video_id}", "frame", len(boxes))
        points, features, n_decoded = _predict(counted, boxes, drawn, predictor)
        if n_decoded != len(boxes):
            raise FakeemoError(
                f"{video}: {n_decoded} frames were decoded, but {rois} has {len(boxes)};"
                " the video or its start_s, end_s changed since: delete that table and run again"
            )
    else:
        points, features, _ = _predict([], boxes, drawn, predictor)
    common = {
        "parameters": {
            "video_id": video_id,
            "n_variants": n_variants,
            "jitter_px": list(jitter_px),
            "seed": seed,
            "engine": engine,
            "model": predictor.model.name,
            "model_sha256": predictor.sha256,
            "start_s": start_s,
            "end_s": end_s,
        },
        "versions": software("numpy", "numba", "dlib-bin", "av"),
        "status": header["status"],
        "reason": header["reason"],
    }
    write_landmarks(landmarks_out, table, boxes, points, common)
    write_variants(variants_out, table, drawn, features, common)
    if sheet_out is not None:
        contact_sheet.write_contact_sheet(
            sheet_out, table, header, video_id=video_id, points=points, thumbnails=thumbnails
        )
    if face_out is not None:
        face_picture.write_face(face_out, face[0] if face else None)


def offsets(video_id: str, n_variants: int, jitter_px: Sequence[int], seed: int) -> NDArray[np.int64]:
    """Draw the pixels (dx, dy) that each variant of a video loses at its left and upper edge.

    Row 0 is (0, 0), the video as it is. Rows 1..n_variants are uniform over 0..jitter_px[0] and
    0..jitter_px[1], both ends included. A row depends on the seed, the video's id and the row's number alone,
    not on the machine, versions or the number of variants.
    """
    drawn = np.zeros((n_variants + 1, 2), np.int64)
    for variant in range(1, n_variants + 1):
        digest = hashlib.sha256(f"{seed}/{variant}/{video_id}".encode()).digest()
        for axis in (0, 1):
            drawn[variant, axis] = int.from_bytes(digest[8 * axis : 8 * axis + 8], "big") % (jitter_px[axis] + 1)
    return drawn


def jittered(boxes: NDArray[np.float64], offset: NDArray[np.int64]) -> NDArray[np.float64]:
    """Remove dx pixels at the left and dy at the upper edge of boxes (..., 4) of x, y, w, h."""
    crops: NDArray[np.float64] = boxes + np.concatenate([offset, -offset], axis=-1)
    return crops


def predictor_boxes(crops: NDArray[np.float64]) -> NDArray[np.int64]:
    """Map crops (n, 4) in the face detector's convention to whole pixels in that of the landmark predictor."""
    # A box of columns in place of numbers: all crops are mapped at once.
    return landmarks.whole_pixels(np.stack(faces.predictor_box(faces.Box(*crops.T)), axis=-1))


def normalised(points: NDArray[np.float32], crops: NDArray[np.float64]) -> NDArray[np.float32]:
    """Scale points (n, 40, 2) in pixels of the frame to their crops (n, 4): [-1, 1] from edge to edge."""
    corner, size = crops[:, None, :2], crops[:, None, 2:]
    return (2 * (points - corner) / size - 1).astype(np.float32)


def check_jitter(video_id: str, boxes: NDArray[np.float64], jitter_px: Sequence[int]) -> None:
    """Raise :class:`FakeemoError` if the largest jitter leaves nothing of one of ``boxes`` (frames, 4)."""
    for jitter, sides, name in ((jitter_px[0], boxes[:, 2], "wide"), (jitter_px[1], boxes[:, 3], "high")):
        if np.any(sides <= jitter):
            raise FakeemoError(
                f"video {video_id}: a jitter of up to {jitter} px leaves nothing of a face box that is only"
                f" {np.nanmin(sides):.1f} px {name}; lower the jitter, or raise the smallest face that counts"
            )


def _predict(
    frames: Iterable[Frame],
    boxes: NDArray[np.float64],
    drawn: NDArray[np.int64],
    predictor: landmarks.Predictor,
) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
    """Give landmarks (2, 68, frames), features (2, 40, variants, frames) and the number of decoded frames.

    A column of a table is a contiguous row here. Only one batch of frames is held.
    """
    n_frames, n_crops = len(boxes), len(drawn)
    points = np.full((2, N_POINTS, n_frames), np.nan, np.float32)
    features = np.full((2, N_SELECTED, n_crops, n_frames), np.nan, np.float32)
    has_face = np.isfinite(boxes.sum(axis=1))
    stack = np.empty((0, 0, 0), np.uint8)
    rows: list[int] = []
    n_decoded = 0

    def predict_batch() -> None:
        crops = jittered(boxes[rows][:, None], drawn).reshape(-1, 4)
        frame_of_box = np.repeat(np.arange(len(rows)), n_crops)
        predicted = predictor.predict(stack, predictor_boxes(crops), frame_of_box)
        scaled = normalised(landmarks.select(predicted), crops).reshape(len(rows), n_crops, N_SELECTED, 2)
        points[:, :, rows] = predicted[::n_crops].T
        features[:, :, :, rows] = scaled.transpose(3, 2, 1, 0)
        rows.clear()

    for row, frame in enumerate(frames):
        n_decoded += 1
        if row >= n_frames or not has_face[row]:
            continue
        if not len(stack):
            stack = np.empty((max(1, min(BATCH // n_crops, BATCH_FRAMES)), *frame.image.shape), np.uint8)
        stack[len(rows)] = frame.image
        rows.append(row)
        if len(rows) == len(stack):
            predict_batch()
    if rows:
        predict_batch()
    return points, features, n_decoded


def write_landmarks(
    path: str | Path,
    table: dict[str, NDArray[Any]],
    boxes: NDArray[np.float64],
    points: NDArray[np.float32],
    common: dict[str, Any],
) -> None:
    """Write a table of landmarks, a row per frame.

    Args:
        path: the table.
        table: columns ``frame`` and ``timestamp`` (s) of the frames.
        boxes: of the face, (frames, 4), NaN where there is none.
        points: (2, 68, frames), in pixels of the frame; NaN where there is no face.
        common: further arguments of :func:`fakeemo.tables.write_table`.
    """
    coordinates = {f"{axis}_{i}": points[k, i] for k, axis in enumerate("xy") for i in range(N_POINTS)}
    columns = {
        "frame": table["frame"].astype(np.int32),
        "timestamp": table["timestamp"].astype(np.float64),
        "success": np.isfinite(boxes.sum(axis=1)).astype(np.int8),
        **coordinates,
    }
    units = {"timestamp": "s", **dict.fromkeys(coordinates, "px")}
    write_table(path, columns, kind="landmarks", units=units, **common)


def write_variants(
    path: str | Path,
    table: dict[str, NDArray[Any]],
    drawn: NDArray[np.int64],
    features: NDArray[np.float32],
    common: dict[str, Any],
) -> None:
    """Write a table of variants, a row per variant and frame.

    Args:
        path: the table.
        table: columns ``frame`` and ``timestamp`` (s) of the frames.
        drawn: pixels removed at the left and upper edge, (variants, 2).
        features: (2, 40, variants, frames), u and v scaled to [-1, 1] over the jittered crop.
        common: further arguments of :func:`fakeemo.tables.write_table`.
    """
    n_frames, n_crops = len(table["frame"]), len(drawn)
    coordinates = {f"{axis}_{i}": features[k, i].ravel() for k, axis in enumerate("uv") for i in range(N_SELECTED)}
    columns = {
        "variant": np.repeat(np.arange(n_crops, dtype=np.int32), n_frames),
        "frame": np.tile(table["frame"].astype(np.int32), n_crops),
        "timestamp": np.tile(table["timestamp"].astype(np.float64), n_crops),
        "dx": np.repeat(drawn[:, 0].astype(np.int32), n_frames),
        "dy": np.repeat(drawn[:, 1].astype(np.int32), n_frames),
        **coordinates,
    }
    place = "half width or height of the crop, from its centre"
    units = {"timestamp": "s", "dx": "px", "dy": "px", **dict.fromkeys(coordinates, place)}
    write_table(path, columns, kind="variants", units=units, **common)
