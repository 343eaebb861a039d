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

HOLE_S = 0.25  # frames further apart leave a hole in time, of which as little is known as of a lost face
_UNEVEN = 0.1  # a frame period may be off by this share, as rounding makes it, and still count as even
_OVERSAMPLING = 4  # frames at uneven times are filtered on an even grid finer than they are by this much
_SAME_RATE = 1.05  # of two frame rates no further apart than this, neither aliases into the other
_SAME_TIME_S = 1e-3  # containers round to milliseconds


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


def load_sequences(
    paths: Sequence[str | Path],
    *,
    reference: str = "crop",
    neutral_frames: int = 5,
    smoothing_hz: float | None = None,
    fps: float | None = None,
    augmented: bool = True,
) -> Sequences:
    """Read the variant tables of several videos.

    Leading and trailing frames without a face are cut off; frames missing in between are bridged by straight lines,
    so that the network has an input there, and masked, so that nothing is learned from them. A video with fewer than
    two usable frames contributes no sequence. ``video`` of the result is the table's file name without its suffix.
    With neither ``smoothing_hz`` nor ``fps`` the frames are taken as they are, one after the other.

    Args:
        paths: variant tables, as :func:`fakeemo.augment.landmark_video` writes them.
        reference: ``crop`` for coordinates in the crop, as in the paper, or ``neutral`` for displacements from the
            clip's first frames, free of head motion: see :func:`relative_to_neutral`.
        neutral_frames: how many first frames count as neutral.
        smoothing_hz: cut-off, in Hz, of a low-pass without delay, or None for none: see :func:`retime`.
        fps: frames a second that every clip is brought to, or None to leave them: see :func:`retime`.
        augmented: whether jittered variants are read too, and not variant 0 alone.

    Raises:
        FakeemoError: if no table holds a usable sequence, or ``smoothing_hz`` is not below half the frame rate of a
            video.
    """
    retimed = smoothing_hz is not None or fps is not None
    names = ["variant", "frame", *(["timestamp"] if retimed else []), *FEATURES]
    series, masks, videos, variants = [], [], [], []
    for path in paths:
        columns, _ = read_table(path, names)
        if retimed and "timestamp" not in columns:
            raise FakeemoError(
                f"{path}: has no column 'timestamp', which sequences.smoothing_hz and sequences.fps need;"
                " delete the table and run again"
            )
        values = np.stack([columns[name] for name in FEATURES], axis=1).astype(np.float32)
        for variant in np.unique(columns["variant"]):
            if variant and not augmented:
                continue
            rows = np.flatnonzero(columns["variant"] == variant)
            rows = rows[np.argsort(columns["frame"][rows], kind="stable")]
            x = values[rows]
            if retimed:
                x = retime(Path(path).stem, x, columns["timestamp"][rows], smoothing_hz=smoothing_hz, fps=fps)
            x, mask = fill_gaps(x)
            if mask.sum() < 2:
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


def retime(
    video: str, x: np.ndarray, timestamp: np.ndarray, *, smoothing_hz: float | None, fps: float | None
) -> np.ndarray:
    """Smooth a clip, bring it to another frame rate, or both, by the true time of its frames.

    Each stretch in which the face was seen is treated by itself: a line across a gap is invented, and filtered along
    with the rest it would flow into frames that count as seen. A stretch ends where the face was lost and where frames
    are more than ``HOLE_S`` apart. A new frame has a value only where it falls into a stretch, that is, where
    the face was seen in the frames before and after it. Between frames runs a cubic spline.

    Towards fewer frames a steeper low-pass at 0.4 ``fps`` first takes away what the new rate could only show as a
    slower motion that never was (aliasing).

    Args:
        video: its name, for messages.
        x: ``(time, features)``, NaN where the face was not seen.
        timestamp: time of each frame in seconds, ``(time,)``, increasing; steps may vary.
        smoothing_hz: cut-off in Hz, see :func:`low_pass`; None for no smoothing.
        fps: new frames a second, from the first frame with a face on; None to keep the frames.

    Returns:
        Float32 ``(new time, features)``, NaN where the face was not seen.

    Raises:
        FakeemoError: if ``smoothing_hz`` is not below half the clip's frame rate, one over the median step.
    """
    # Here and in low_pass, since these imports cost 0.7 s, which runs that leave the frames alone need not pay.
    from scipy.interpolate import CubicSpline

    seen = np.flatnonzero(np.isfinite(x).all(axis=1))
    if len(seen) < 2:
        return x[seen]
    rate = float(1 / np.median(np.diff(timestamp)))
    filters = []
    if smoothing_hz is not None:
        if smoothing_hz > 0.999 * rate / 2:  # the rate is no more exact than the timestamps
            raise FakeemoError(
                f"video {video}: sequences.smoothing_hz is {smoothing_hz:g}, but the video's {rate:.4g} frames a"
                f" second show nothing faster than {rate / 2:.4g} Hz; set it lower, or leave the video out"
            )
        filters.append((smoothing_hz, 2))
    grid = timestamp
    if fps is not None:
        start, end = timestamp[seen[0]], timestamp[seen[-1]]
        grid = start + np.arange(int((end - start + _SAME_TIME_S) * fps) + 1) / fps
        if rate > _SAME_RATE * fps:
            filters.append((0.4 * fps, 4))

    out = np.full((len(grid), x.shape[1]), np.nan, np.float32)
    ends = (np.diff(seen) > 1) | (np.diff(timestamp[seen]) > max(HOLE_S, 2 / rate))
    for stretch in np.split(seen, np.flatnonzero(ends) + 1):
        t, z = timestamp[stretch], x[stretch].astype(np.float64)
        inside = (grid > t[0] - _SAME_TIME_S) & (grid < t[-1] + _SAME_TIME_S)
        if len(stretch) == 1:
            out[inside] = z
            continue
        at_rate = rate
        if filters and np.abs(np.diff(t) * rate - 1).max() > _UNEVEN:
            at_rate = _OVERSAMPLING * rate
            even = np.linspace(t[0], t[-1], int(np.ceil((t[-1] - t[0]) * at_rate)) + 1)
            t, z = even, CubicSpline(t, z)(even)
        for cut_off, order in filters:
            z = low_pass(z, at_rate, cut_off, order)
        out[inside] = CubicSpline(t, z)(grid[inside])
    return out


def low_pass(x: np.ndarray, rate: float, cut_off: float, order: int) -> np.ndarray:
    """Filter ``x`` ``(time, features)``, at ``rate`` frames a second, with a Butterworth low-pass there and back.

    The way back undoes the delay of the way there, so that nothing moves in time, and squares the response: it is
    1 / (1 + 0.414 (f / cut_off)^(2 order)), but for the bilinear transform, which lets still less through near half the
    frame rate. The filter is designed so that both ways together give -3 dB at ``cut_off`` (Winter 2009,
    Biomechanics and Motor Control of Human Movement). Order 2, the rule in the study of human motion, falls off fast
    enough and shoots beyond a step by 3.5 % only; higher orders ring more.

    At either end the clip goes on as its own reflection through the end point, for as long as the filter remembers.
    This keeps slopes and makes nothing ring; in exchange the very first and last frame stay as they are.
    """
    from scipy.signal import butter, sosfiltfilt

    both_ways = (np.sqrt(2) - 1) ** (1 / (2 * order))
    corner = rate / np.pi * np.arctan(np.tan(np.pi * cut_off / rate) / both_ways)
    pad = int(np.ceil(3 * rate / min(cut_off, rate / 2 - cut_off)))
    # np.pad reflects again and again where the clip is shorter than that; sosfiltfilt's own padding would not.
    padded = np.pad(x, ((pad, pad), (0, 0)), mode="reflect", reflect_type="odd")
    filtered: np.ndarray = sosfiltfilt(butter(order, corner, fs=rate, output="sos"), padded, axis=0, padlen=0)
    return filtered[pad:-pad]


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
