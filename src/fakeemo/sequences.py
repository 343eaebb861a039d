"""From variant tables to the time series that the network sees.

A frame is 80 numbers: 40 horizontal coordinates, then 40 vertical ones, in [-1, 1] of the face crop. Sequences
differ in length and may miss frames, so they travel as a padded array and a mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fakeemo.errors import FakeemoError
from fakeemo.tables import read_table

N_POINTS = 40
FEATURES = tuple(f"{axis}_{i}" for axis in "uv" for i in range(N_POINTS))

# Of the 40 points, those that facial muscles move least: tip and base of the nose (dlib 30, 33) and the corners
# of the eyes (36, 39, 42, 45). The pose of the head is estimated from them.
RIGID_POINTS = (10, 13, 16, 19, 22, 25)
_OUTER_CORNERS = (16, 25)


@dataclass(frozen=True)
class Sequences:
    """``n`` time series, padded to one length.

    ``x`` is float32 ``(n, time, features)``, zero where padded; ``mask`` is bool ``(n, time)``, true where a face
    was seen; ``video`` and ``variant`` are ``(n,)`` and say whose series it is.
    """

    x: np.ndarray
    mask: np.ndarray
    video: np.ndarray
    variant: np.ndarray

    def __len__(self) -> int:
        """Give the number of sequences."""
        return len(self.x)

    def select(self, index: np.ndarray) -> "Sequences":
        """Give the sequences at ``index``, cut to the longest of them."""
        mask = self.mask[index]
        length = int(np.flatnonzero(mask.any(axis=0)).max(initial=-1)) + 1
        return Sequences(self.x[index, :length], mask[:, :length], self.video[index], self.variant[index])


def load_sequences(paths: Sequence[str | Path], *, reference: str = "crop", neutral_frames: int = 5) -> Sequences:
    """Read the variant tables of several videos.

    Leading and trailing frames without a face are cut off; frames missing in between are bridged by straight lines,
    so that the network has an input there, and masked, so that nothing is learned from them. A video with fewer than
    two usable frames contributes no sequence. ``video`` of the result is the table's file name without its suffix.

    Args:
        paths: variant tables, as :func:`fakeemo.augment.landmark_video` writes them.
        reference: ``crop`` for coordinates in the crop, as in the paper, or ``neutral`` for displacements from the
            clip's first frames, free of head motion: see :func:`relative_to_neutral`.
        neutral_frames: how many first frames count as neutral.

    Raises:
        FakeemoError: if no table holds a usable sequence.
    """
    series, masks, videos, variants = [], [], [], []
    for path in paths:
        columns, _ = read_table(path, ["variant", "frame", *FEATURES])
        values = np.stack([columns[name] for name in FEATURES], axis=1).astype(np.float32)
        for variant in np.unique(columns["variant"]):
            rows = np.flatnonzero(columns["variant"] == variant)
            x, mask = fill_gaps(values[rows[np.argsort(columns["frame"][rows], kind="stable")]])
            if len(x) < 2:
                continue
            series.append(relative_to_neutral(x, neutral_frames) if reference == "neutral" else x)
            masks.append(mask)
            videos.append(Path(path).stem)
            variants.append(int(variant))
    if not series:
        raise FakeemoError(f"none of {len(paths)} videos has two usable frames; see results/qc/videos.parquet for why")
    length = max(map(len, series))
    padded = np.zeros((len(series), length, len(FEATURES)), np.float32)
    mask = np.zeros((len(series), length), bool)
    for i, (x, seen) in enumerate(zip(series, masks, strict=True)):
        padded[i, : len(x)] = x
        mask[i, : len(x)] = seen
    return Sequences(padded, mask, np.array(videos), np.array(variants))


def fill_gaps(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut ``x`` ``(time, features)`` to its first and last finite frame; fill gaps linearly; give it with a mask."""
    seen = np.isfinite(x).all(axis=1)
    if not seen.any():
        return x[:0], seen[:0]
    first, last = np.flatnonzero(seen)[[0, -1]]
    x, seen = x[first : last + 1].copy(), seen[first : last + 1]
    if not seen.all():
        at, gaps = np.flatnonzero(seen), np.flatnonzero(~seen)
        for k in range(x.shape[1]):
            x[gaps, k] = np.interp(gaps, at, x[at, k])
    return x, seen


def relative_to_neutral(x: np.ndarray, neutral_frames: int) -> np.ndarray:
    """Turn coordinates ``(time, 80)`` into displacements from the neutral start, free of head motion.

    Each frame is moved, turned and scaled by the similarity that best lays its rigid points (nose and corners of the
    eyes) on those of the mean of the first ``neutral_frames`` frames (least squares, Umeyama 1991); what then differs
    from the mean is the expression. Its unit is a quarter of the inter-ocular distance (between the outer corners of
    the eyes), so that nearly all of it lies within the [-1, 1] that the network can say.
    """
    # As complex numbers z = u + iv a similarity is z -> a z + b, and least squares has one line.
    z = (x[:, :N_POINTS] + 1j * x[:, N_POINTS:]).astype(np.complex128)
    neutral = z[:neutral_frames].mean(axis=0)
    rigid = list(RIGID_POINTS)
    target = neutral[rigid] - neutral[rigid].mean()
    centre = z[:, rigid].mean(axis=1, keepdims=True)
    source = z[:, rigid] - centre
    a = (source.conj() @ target) / (np.abs(source) ** 2).sum(axis=1)
    moved = a[:, None] * (z - centre) + neutral[rigid].mean() - neutral
    moved /= np.abs(neutral[_OUTER_CORNERS[1]] - neutral[_OUTER_CORNERS[0]]) / 4
    return np.concatenate([moved.real, moved.imag], axis=1).astype(np.float32)
