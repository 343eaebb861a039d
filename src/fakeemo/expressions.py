"""What generation mode made, as the report shows it: read from its table, without the network that made it."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fakeemo.face_animation import OUTER_CORNERS
from fakeemo.sequences import N_POINTS
from fakeemo.tables import read_table


class Expressions(NamedTuple):
    """Hold generated faces: ``points`` (n, time, 40, 2) from genuine to fake, and ``neutral`` (40, 2), at rest.

    Both in half widths of the face crop, x right and y down.
    """

    points: np.ndarray
    neutral: np.ndarray
    fps: float


def read_generated(path: str | Path) -> Expressions:
    """Read the table that :func:`fakeemo.generation.write_generated_table` wrote."""
    names = [f"{axis}_{i}" for axis in "xy" for i in range(N_POINTS)]
    table, header = read_table(path, ["share_fake", *names])
    n_faces = len(np.unique(table["share_fake"]))
    flat = np.stack([table[name] for name in names], axis=1).reshape(n_faces, -1, 2, N_POINTS)
    parameters: dict[str, Any] = header["parameters"]
    return Expressions(flat.transpose(0, 1, 3, 2), np.array(parameters["neutral"]), float(parameters["fps"]))


def movement(points: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    """Give how far faces (n, time, 40, 2) are from their first frames, (n, time): mean, % of the eyes' distance."""
    moved: np.ndarray = 100 * np.linalg.norm(points - points[:, :1], axis=3).mean(axis=2) / _eyes(neutral)
    return moved


def differences(points: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    """Give how far the first face is from the last, (time,): mean over landmarks, % of the eyes' distance."""
    found: np.ndarray = 100 * np.linalg.norm(points[0] - points[-1], axis=2).mean(axis=1) / _eyes(neutral)
    return found


def _eyes(neutral: np.ndarray) -> float:
    return float(np.linalg.norm(neutral[OUTER_CORNERS[1]] - neutral[OUTER_CORNERS[0]]))
