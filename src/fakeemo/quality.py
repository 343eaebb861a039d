"""What became of every video before any learning: status, frames, face, tracking."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fakeemo.tables import read_table, write_table

UNITS = {"fps": "frames/s", "face_share": "1", "lowest_psr": "1"}


def summarise_quality(
    video_ids: Sequence[str],
    rois_paths: Sequence[str | Path],
    landmarks_paths: Sequence[str | Path],
    out: str | Path,
) -> None:
    """Write one row for each of ``video_ids``, in their order, from the video's ROI and landmark tables.

    Columns: ``video_id``; ``status`` and ``reason`` (of the first of the two tables that is not "ok"); ``frames``
    (decoded); ``fps`` (mean over the clip, NaN below two frames); ``face_share`` (of the frames that have
    landmarks); ``redetections`` (frames in which the tracker had lost the face and the detector found it again);
    ``lowest_psr`` (peak-to-sidelobe ratio of the tracker, NaN where it never ran).
    """
    columns: dict[str, list[object]] = {
        name: []
        for name in ("video_id", "status", "reason", "frames", "fps", "face_share", "redetections", "lowest_psr")
    }
    for video_id, rois_path, landmarks_path in zip(video_ids, rois_paths, landmarks_paths, strict=True):
        rois, rois_header = read_table(rois_path, ["timestamp", "psr", "state"])
        landmarks, landmarks_header = read_table(landmarks_path, ["success"])
        header = rois_header if rois_header["status"] != "ok" else landmarks_header
        n_frames = len(rois["timestamp"])
        psr = rois["psr"].astype(float)
        psr = psr[np.isfinite(psr)]
        row = {
            "video_id": video_id,
            "status": header["status"],
            "reason": header["reason"],
            "frames": n_frames,
            "fps": _fps(rois["timestamp"]),
            "face_share": float(landmarks["success"].mean()) if len(landmarks["success"]) else 0.0,
            "redetections": int((rois["state"] == "redetected").sum()),
            "lowest_psr": float(psr.min()) if len(psr) else np.nan,
        }
        for name, value in row.items():
            columns[name].append(value)
    write_table(out, columns, kind="quality", units=UNITS)


def _fps(timestamps: np.ndarray) -> float:
    if len(timestamps) < 2 or timestamps[-1] <= timestamps[0]:
        return float("nan")
    return float((len(timestamps) - 1) / (timestamps[-1] - timestamps[0]))
