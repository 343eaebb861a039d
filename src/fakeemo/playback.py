"""Landmarks, PSR and states of each video as small scripts that the report loads when a video is to be played.

A page that is opened from disk may not read the files beside it (browsers refuse ``fetch`` there), but it may load
scripts. So each video has one, ``{video_id}.js``, which hands the page one JSON object and does nothing else.
"""

import base64
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakeemo.files import replacing
from fakeemo.landmarks import N_POINTS
from fakeemo.tables import read_table

_MISSING = 65535  # stands for NaN among the packed numbers


def write_playback(rois: Mapping[str, str | Path], landmarks: Mapping[str, str | Path], folder: str | Path) -> None:
    """Write ``{video_id}.js`` for each video into ``folder``, which is emptied first.

    ``rois`` and ``landmarks`` are the tables ``results/rois/{video}.parquet`` and ``results/landmarks/{video}.parquet``
    by video id.
    """
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    for video_id, path in rois.items():
        # The JSON of numbers and of names that tables hold; "<" is escaped so that it may stand in any page.
        text = json.dumps(playback(video_id, path, landmarks[video_id]), separators=(",", ":"), allow_nan=False)
        with replacing(folder / f"{video_id}.js") as temporary:
            temporary.write_text(f"fakeemo.video({text.replace('<', chr(92) + 'u003c')});\n", encoding="utf-8")


def playback(video_id: str, rois: str | Path, landmarks: str | Path) -> dict[str, Any]:
    """Give what the page needs to play a video.

    Returns:
        ``id``; ``time`` of each frame (s, from the first); ``points`` (frames, 68, 2) and ``box`` (frames, 2, 2), left
        upper and right lower corner, both in px of the upright frame and :func:`packed`; ``psr`` by frame, None where
        the tracker did not run; ``threshold``, below which the face counts as lost; ``states``, each with the number
        of frames that it lasted.
    """
    names = [f"{axis}_{i}" for axis in "xy" for i in range(N_POINTS)]
    marks, _ = read_table(landmarks, names)
    table, header = read_table(rois, ["timestamp", "x", "y", "w", "h", "psr", "state"])
    n_frames = len(table["timestamp"])
    points = np.full((n_frames, N_POINTS, 2), np.nan)
    if len(marks["x_0"]) == n_frames:
        points = np.stack([marks[name] for name in names], axis=1).reshape(n_frames, 2, N_POINTS).transpose(0, 2, 1)
    corner = np.stack([table["x"], table["y"]], axis=1)
    box = np.stack([corner, corner + np.stack([table["w"], table["h"]], axis=1)], axis=1)
    times = table["timestamp"] - table["timestamp"][:1]
    return {
        "id": video_id,
        "time": np.round(times, 4).tolist(),
        "points": packed(points),
        "box": packed(box),
        "psr": [round(float(psr), 1) if np.isfinite(psr) else None for psr in table["psr"]],
        "threshold": header["parameters"].get("psr_threshold"),
        "states": _runs(table["state"].tolist()),
    }


def packed(points: NDArray[np.floating]) -> dict[str, Any]:
    """Pack positions (frames, n, 2) into a fifth of the room that numbers in words take.

    Returns:
        ``n``; ``low`` (x, y) and ``unit``; and ``data``, of each coordinate its distance from ``low`` in ``unit``, as
        unsigned 16-bit integers (little-endian, base64), x before y; 65535 stands for NaN.
    """
    flat = points.reshape(-1, 2)
    there = np.isfinite(flat).all(axis=1)
    low = flat[there].min(axis=0) if there.any() else np.zeros(2)
    unit = float((flat[there] - low).max()) / (_MISSING - 1) if there.any() else 0.0
    numbers = np.full(flat.shape, _MISSING, "<u2")
    numbers[there] = np.round((flat[there] - low) / (unit or 1.0))
    return {
        "n": points.shape[1],
        "low": [float(f"{value:.8g}") for value in low],
        "unit": float(f"{unit:.8g}"),
        "data": base64.b64encode(numbers.tobytes()).decode("ascii"),
    }


def _runs(states: list[str]) -> list[tuple[str, int]]:
    runs: list[tuple[str, int]] = []
    for state in states:
        if runs and runs[-1][0] == state:
            runs[-1] = state, runs[-1][1] + 1
        else:
            runs.append((state, 1))
    return runs
