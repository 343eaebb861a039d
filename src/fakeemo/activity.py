"""What the rival that an LSTM-PB must beat sees: statistics of facial activity.

After the challenge's other winner (Saxen, Werner & Al-Hamadi 2017, ICCV Workshops; the descriptors are those of Werner
et al. 2017, IEEE Trans. Affective Computing 8:286), here on the landmarks that the network sees. Series such as the
height of the lip corners are low-pass filtered (Butterworth of order 1, 1 Hz, without delay); each of them, its speed
and its acceleration are summed up in 17 numbers.

There are two ways to learn from these, ``direct`` and ``pairs``, both in :mod:`fakeemo.linear`, and
:mod:`fakeemo.baselines` applies them. One model serves all emotions, as Saxen et al. found best.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fakeemo.errors import FakeemoError
from fakeemo.linear import video_means
from fakeemo.sequences import N_POINTS, load_sequences, low_pass
from fakeemo.tables import read_table, software, write_table

CUT_OFF = 1.0  # Hz
PREFIX = "activity_"  # of the columns of features
_BATCH = 64  # clips at a time, so that memory stays small

# Name: landmarks of the left half of the image, of the right half, and the direction (x outwards, y down) that counts.
_HALVES = {
    "inner_brow_raise": ((3, 4), (5, 6), (0, -1)),
    "outer_brow_raise": ((1, 2), (7, 8), (0, -1)),
    "brow_draw": ((4,), (5,), (-1, 0)),
    "upper_lid_raise": ((17, 18), (23, 24), (0, -1)),
    "lower_lid_raise": ((20, 21), (26, 27), (0, -1)),
    "cheek_raise": ((38,), (39,), (0, -1)),
    "nose_wing_raise": ((11, 12), (14, 15), (0, -1)),
    "lip_corner_raise": ((28,), (32,), (0, -1)),
    "lip_corner_spread": ((28,), (32,), (1, 0)),
    "upper_lip_raise": ((29,), (31,), (0, -1)),
    "lower_lip_drop": ((35,), (33,), (0, 1)),
}
_LEFT, _RIGHT = (np.array([i for half in _HALVES.values() for i in half[side]]) for side in (0, 1))
SERIES = (
    *_HALVES,
    *(f"{name}_asymmetry" for name in _HALVES),  # right less left
    "whole",  # root mean square displacement of all landmarks
    "whole_asymmetry",  # the same of those on the right less those on the left
)
SIGNALS = ("position", "speed", "acceleration")
STATISTICS = (
    "mean",
    "median",
    "minimum",
    "maximum",
    "range",
    "deviation",
    "quartiles",  # from the first to the last quarter
    "deciles",
    "absolute_deviation",
    "absolute",
    "last",
    "skewness",
    "time_of_maximum",  # s
    "time_of_minimum",  # s
    "time_above_mean",  # s
    "time_above_middle",  # s, above half way between minimum and maximum
    "crossings",  # of the mean
)
NAMES = tuple(f"{PREFIX}{a}_{b}_{c}" for a in SERIES for b in SIGNALS for c in STATISTICS)


def activity_series(x: np.ndarray) -> np.ndarray:
    """Give the series of :data:`SERIES`, ``(..., 24)``, in the unit of ``x``.

    ``x`` ``(..., 80)`` holds displacements free of head motion, see :func:`fakeemo.sequences.relative_to_neutral`.
    """
    u, v = x[..., :N_POINTS].astype(np.float64), x[..., N_POINTS:].astype(np.float64)

    def half(side: int, outwards: int) -> np.ndarray:
        parts = [
            outwards * direction[0] * u[..., points[side]].mean(axis=-1)
            + direction[1] * v[..., points[side]].mean(axis=-1)
            for *points, direction in _HALVES.values()
        ]
        return np.stack(parts, axis=-1)

    left, right = half(0, -1), half(1, 1)
    squares = u**2 + v**2
    whole, on_left, on_right = (
        np.sqrt(part.mean(axis=-1, keepdims=True)) for part in (squares, squares[..., _LEFT], squares[..., _RIGHT])
    )
    return np.concatenate([(left + right) / 2, right - left, whole, on_right - on_left], axis=-1)


def activity_features(x: np.ndarray, mask: np.ndarray, fps: float) -> tuple[np.ndarray, tuple[str, ...]]:
    """Describe clips by statistics of their facial activity.

    Args:
        x: displacements free of head motion, ``(n, time, 80)``, as :func:`fakeemo.sequences.load_sequences` gives
            them with ``reference="neutral"``.
        mask: bool ``(n, time)``, true where a face was seen; what follows the last such frame is ignored.
        fps: frames a second.

    Returns:
        Float32 ``(n, features)`` and the features' names. Positions are in the unit of ``x``, times in seconds.
    """
    features = np.empty((len(x), len(NAMES)), np.float32)
    lengths = mask.shape[1] - mask[:, ::-1].argmax(axis=1)
    for length in np.unique(lengths):
        alike = np.flatnonzero(lengths == length)
        for clips in np.split(alike, range(_BATCH, len(alike), _BATCH)):
            position = activity_series(x[clips, :length]).transpose(1, 0, 2).reshape(length, -1)
            position = low_pass(position, fps, CUT_OFF, 1)
            speed = np.gradient(position, 1 / fps, axis=0)
            signals = np.stack([position, speed, np.gradient(speed, 1 / fps, axis=0)], axis=2)
            features[clips] = statistics(signals.reshape(length, -1), fps).reshape(len(clips), -1)
    return features, NAMES


def statistics(signals: np.ndarray, fps: float) -> np.ndarray:
    """Give the numbers of :data:`STATISTICS`, ``(n, 17)``, of signals ``(time, n)`` at ``fps`` frames a second."""
    low, first, median, third, high = np.percentile(signals, [10, 25, 50, 75, 90], axis=0)
    minimum, maximum, mean, deviation = (f(signals, axis=0) for f in (np.min, np.max, np.mean, np.std))
    from_mean = signals - mean
    above = from_mean > 0
    return np.column_stack(
        [
            mean,
            median,
            minimum,
            maximum,
            maximum - minimum,
            deviation,
            third - first,
            high - low,
            np.abs(from_mean).mean(axis=0),
            np.abs(signals).mean(axis=0),
            signals[-1],
            (from_mean**3).mean(axis=0) / np.maximum(deviation, 1e-12) ** 3,
            signals.argmax(axis=0) / fps,
            signals.argmin(axis=0) / fps,
            above.sum(axis=0) / fps,
            (signals > (minimum + maximum) / 2).sum(axis=0) / fps,
            (above[1:] != above[:-1]).sum(axis=0),
        ]
    )


def write_activity(
    tables: Sequence[str | Path],
    out: str | Path,
    *,
    fps: float = 30.0,
    neutral_frames: int = 5,
    pose: str = "rigid",
) -> None:
    """Write the features of videos: a row for each usable video and variant, as in the tables of PB vectors.

    Args:
        tables: variant tables; their timestamps say how fast they run.
        out: table to write: video_id, variant, and the columns of :data:`NAMES`.
        fps: frames a second that every clip is brought to.
        neutral_frames: how many first frames count as neutral.
        pose: the landmarks that show the head's pose, see :func:`fakeemo.sequences.relative_to_neutral`.
    """
    sequences = load_sequences(tables, reference="neutral", neutral_frames=neutral_frames, pose=pose, fps=fps)
    features, names = activity_features(sequences.x, sequences.mask, fps)
    columns: dict[str, object] = {"video_id": sequences.video.tolist(), "variant": sequences.variant}
    columns |= {name: features[:, k] for k, name in enumerate(names)}
    write_table(
        out,
        columns,
        kind="activity",
        units={name: "s" for name in names if "_time_" in name},
        parameters={"fps": fps, "neutral_frames": neutral_frames, "pose": pose, "cut_off_hz": CUT_OFF},
        versions=software("numpy", "scipy", "pyarrow"),
    )


def read_activity(tables: Sequence[str | Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give video ids, their features averaged over variants ``(videos, features)``, and the numbers of variants."""
    parts = [read_table(path)[0] for path in tables]
    for path, part in zip(tables, parts, strict=True):
        missing = [name for name in NAMES if name not in part]
        if missing:
            raise FakeemoError(f"{path}: has no column '{missing[0]}'; delete the table and run again")
    rows = np.concatenate([np.column_stack([part[name] for name in NAMES]) for part in parts])
    return video_means(np.concatenate([part["video_id"] for part in parts]), rows)
