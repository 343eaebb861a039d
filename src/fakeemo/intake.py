"""How a model's videos were prepared, and within what range they lie: what a new video must match to be judged by it.

``results/models/{emotion}/intake.json`` makes the folder of a model whole: with it, other videos can be judged where
neither the config nor the training videos are at hand.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fakeemo.errors import FakeemoError
from fakeemo.files import replacing
from fakeemo.tables import read_header, read_table, software

INTAKE_VERSION = 1
# How far beyond the training videos a new one may lie, as a factor on either end.
_TOLERANCE = {"fps": 1.1, "seconds": 1.25, "face_px": 1.5}
_MISSING_TOLERANCE = 0.05  # of the frames
_NAMES = {"fps": "frames a second", "seconds": "seconds", "face_px": "pixels of face width"}


def write_intake(rois: Sequence[str | Path], out: str | Path, *, settings: Mapping[str, Any]) -> None:
    """Write ``intake.json``.

    Args:
        rois: tables of face boxes of the training videos. Videos that could not be used do not count.
        out: the file.
        settings: keys ``tracking``, ``landmarks``, ``recognition``, ``variants`` (``n_variants``, ``jitter_px``),
            ``seed`` and ``torch_threads``, as in the config.
    """
    usable = [path for path in rois if read_header(path)["status"] == "ok"]
    measured = [measure(path) for path in usable]
    ranges = {
        name: [float(np.nanmin(values)), float(np.nanmax(values))]
        for name in ("fps", "seconds", "face_px", "missing_share")
        if np.isfinite(values := np.array([video[name] for video in measured], float)).any()
    }
    facts = {
        "kind": "intake",
        "schema_version": INTAKE_VERSION,
        "settings": dict(settings),
        "n_videos": len(measured),
        "sources": sorted({source(read_header(path)) for path in usable}),
        "ranges": ranges,
        "software": software("av", "numpy", "numba", "opencv-python", "torch", "xgboost"),
    }
    with replacing(out) as temporary:
        temporary.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_intake(folder: str | Path) -> dict[str, Any]:
    """Read what :func:`write_intake` wrote. Raises :class:`FakeemoError` if it is not there, or of a later format."""
    path = Path(folder) / "intake.json"
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = facts["schema_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FakeemoError(f"{path}: cannot be read ({error}); let snakemake run again where it was trained") from error
    if version > INTAKE_VERSION:
        raise FakeemoError(
            f"{path}: written in format {version}, this fakeemo reads up to {INTAKE_VERSION}; update fakeemo"
        )
    return facts


def measure(rois: str | Path) -> dict[str, float]:
    """Give frames, frames a second, seconds, median width of the face (px) and share of frames without one.

    ``rois`` is a video's table of face boxes. What cannot be measured is NaN.
    """
    table, _ = read_table(rois, ["timestamp", "w"])
    time, width = table["timestamp"], table["w"]
    seen = width[np.isfinite(width)]
    fps = seconds = float("nan")
    if len(time) > 1:
        period = float(np.median(np.diff(time)))
        fps, seconds = 1 / period, float(time[-1] - time[0]) + period
    return {
        "frames": len(time),
        "fps": fps,
        "seconds": seconds,
        "face_px": float(np.median(seen)) if len(seen) else float("nan"),
        "missing_share": 1 - len(seen) / len(time) if len(time) else float("nan"),
    }


def source(header: Mapping[str, Any]) -> str:
    """Say where a video's landmarks come from, ``video`` or ``landmarks`` (given), by its table of face boxes."""
    return "landmarks" if "landmarks" in header["parameters"] else "video"


def out_of_range(measured: Mapping[str, float], given: str, intake: Mapping[str, Any]) -> list[str]:
    """Say in a sentence each how a video lies outside of what the model was trained on.

    Args:
        measured: of the video, see :func:`measure`.
        given: see :func:`source`.
        intake: of the model, see :func:`read_intake`.
    """
    remarks, ranges = [], intake["ranges"]
    if intake["sources"] and given not in intake["sources"]:
        remarks.append(f"judged by its {given}; training was by {' and '.join(intake['sources'])}")
    for name, factor in _TOLERANCE.items():
        value, (low, high) = measured[name], ranges.get(name, (0.0, float("inf")))
        if value < low / factor or value > high * factor:
            remarks.append(f"{value:.4g} {_NAMES[name]}; training had {low:.4g} to {high:.4g}")
    missing, most = measured["missing_share"], ranges.get("missing_share", (0.0, 1.0))[1]
    if missing > most + _MISSING_TOLERANCE:
        remarks.append(f"no face in {missing:.0%} of the frames; training had at most {most:.0%}")
    return remarks
