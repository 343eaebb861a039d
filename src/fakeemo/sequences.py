"""From variant tables to the time series that the network sees.

A frame is 80 numbers: 40 horizontal coordinates, then 40 vertical ones, in [-1, 1] of the face crop. Sequences
differ in length and may miss frames, so they travel as a padded array and a mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fakeemo.errors import FakeemoError
from fakeemo.tables import read_table

N_POINTS = 40
FEATURES = tuple(f"{axis}_{i}" for axis in "uv" for i in range(N_POINTS))

# Of the 40 points, those that facial muscles move least: tip and base of the nose (dlib 30, 33) and the corners
# of the eyes (36, 39, 42, 45).
RIGID_POINTS = (10, 13, 16, 19, 22, 25)
POSE_POINTS = {"rigid": RIGID_POINTS, "all": tuple(range(N_POINTS))}
"""The points that the pose of the head is estimated from, by the config's word for them."""
_OUTER_CORNERS = (16, 25)

_ONSET_HZ = 4.0  # cut-off of the low-pass under which an onset is looked for
_FULLY_SHOWN = 0.8  # quantile over a clip of how far the face has moved, that counts as its expression's full extent

HOLE_S = 0.25  # frames further apart leave a hole in time, of which as little is known as of a lost face
_UNEVEN = 0.1  # a frame period may be off by this share, as rounding makes it, and still count as even
_OVERSAMPLING = 4  # frames at uneven times are filtered on an even grid finer than they are by this much
_SAME_RATE = 1.05  # of two frame rates no further apart than this, neither aliases into the other
_SAME_TIME_S = 1e-3  # containers round to milliseconds


@dataclass(frozen=True)
class Sequences:
    """``n`` time series, padded to one length.

    ``x`` is float32 ``(n, time, features)``, zero where padded; ``mask`` is bool ``(n, time)``, true where a face
    was seen; ``video`` and ``variant`` are ``(n,)`` and say whose series it is. ``basis`` ``(features, components)``
    spans what the series were projected on, where they were.
    """

    x: np.ndarray
    mask: np.ndarray
    video: np.ndarray
    variant: np.ndarray
    basis: np.ndarray | None = None

    def __len__(self) -> int:
        """Give the number of sequences."""
        return len(self.x)

    def select(self, index: np.ndarray) -> "Sequences":
        """Give the sequences at ``index``, cut to the longest of them."""
        mask = self.mask[index]
        length = int(np.flatnonzero(mask.any(axis=0)).max(initial=-1)) + 1
        return Sequences(self.x[index, :length], mask[:, :length], self.video[index], self.variant[index], self.basis)

    def padded(self, length: int) -> "Sequences":
        """Give the sequences with masked frames of zeros up to ``length``."""
        more = length - self.x.shape[1]
        x, mask = np.pad(self.x, ((0, 0), (0, more), (0, 0))), np.pad(self.mask, ((0, 0), (0, more)))
        return replace(self, x=x, mask=mask)


def load_sequences(
    paths: Sequence[str | Path],
    *,
    reference: str = "crop",
    neutral_frames: int = 5,
    pose: str = "rigid",
    components: int | None = None,
    basis: Sequence[Sequence[float]] | None = None,
    onset_window_s: Sequence[float] | None = None,
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
        pose: with ``neutral``, the landmarks that show the head's pose, a word of :data:`POSE_POINTS`.
        components: with ``neutral``, displacements are projected on so many directions, those in which the landmarks
            of these videos move most: see :func:`principal_directions`. None leaves them.
        basis: such directions ``(features, components)``, to be taken instead; those of training, for other videos.
        onset_window_s: with ``neutral`` and ``fps``, seconds before and after the onset to keep: see
            :func:`around_onset`. None keeps the whole clip.
        smoothing_hz: cut-off, in Hz, of a low-pass without delay, or None for none: see :func:`retime`.
        fps: frames a second that every clip is brought to, or None to leave them: see :func:`retime`.
        augmented: whether jittered variants are read too, and not variant 0 alone.

    Raises:
        FakeemoError: if no table holds a usable sequence, ``smoothing_hz`` is not below half the frame rate of a
            video, or settings do not go together: see :func:`check_settings`.
    """
    check_settings(reference=reference, components=components, onset_window_s=onset_window_s, fps=fps)
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
            series.append(relative_to_neutral(x, neutral_frames, pose) if reference == "neutral" else x)
            masks.append(mask)
            videos.append(Path(path).stem)
            variants.append(int(variant))
    if not series:
        raise FakeemoError(f"none of {len(paths)} videos has two usable frames; see results/qc/videos.parquet for why")
    directions = None
    if components:
        directions = principal_directions(series, components) if basis is None else np.array(basis, np.float32)
        series = [x @ directions @ directions.T for x in series]
    if onset_window_s is not None:
        assert fps is not None  # check_settings
        cut = [around_onset(x, seen, fps, onset_window_s) for x, seen in zip(series, masks, strict=True)]
        usable = [i for i, (_, seen) in enumerate(cut) if seen.sum() > 1]
        if not usable:
            raise FakeemoError(
                f"none of {len(paths)} videos shows a face around its onset; widen sequences.onset_window_s"
            )
        series, masks = [cut[i][0] for i in usable], [cut[i][1] for i in usable]
        videos, variants = [videos[i] for i in usable], [variants[i] for i in usable]
    length = max(map(len, series))
    padded = np.zeros((len(series), length, len(FEATURES)), np.float32)
    mask = np.zeros((len(series), length), bool)
    for i, (x, seen) in enumerate(zip(series, masks, strict=True)):
        padded[i, : len(x)] = x
        mask[i, : len(x)] = seen
    return Sequences(padded, mask, np.array(videos), np.array(variants), directions)


def check_settings(
    *, reference: str, components: int | None, onset_window_s: Sequence[float] | None, fps: float | None, **_: object
) -> None:
    """Raise :class:`FakeemoError` where settings of :func:`load_sequences` do not go together."""
    if reference != "neutral" and (components or onset_window_s is not None):
        name = "components" if components else "onset_window_s"
        raise FakeemoError(
            f"sequences.{name} needs displacements from a neutral start; set sequences.reference: neutral"
        )
    if onset_window_s is not None and fps is None:
        raise FakeemoError(
            "sequences.onset_window_s is in seconds, so it needs sequences.fps; set it to the videos' rate"
        )


def principal_directions(series: Sequence[np.ndarray], components: int) -> np.ndarray:
    """Give the directions ``(features, components)`` in which landmarks are displaced most, as orthonormal columns.

    This is a principal component analysis about the neutral face, as in a point distribution model (Cootes et al.
    1995): an expression moves the 40 points together, in few ways, whereas the noise of their detection has 80. Each
    series ``(time, features)`` weighs by its frames.
    """
    scatter = sum((x.T.astype(np.float64) @ x for x in series), np.zeros((series[0].shape[1],) * 2))
    _, vectors = np.linalg.eigh(scatter)  # in order of rising variance
    vectors = vectors[:, ::-1][:, :components]
    # The sign of a direction is arbitrary; it is chosen so that the file does not depend on the library's choice.
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    directions: np.ndarray = (vectors * signs).astype(np.float32)
    return directions


def around_onset(
    x: np.ndarray, seen: np.ndarray, fps: float, window_s: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a clip to a window around the onset of its expression, so that all clips begin alike.

    The onset is the moment at which the landmarks, low-pass filtered, are first half as far from neutral (root mean
    square) as when the expression is fully shown. It lies between two frames, and new frames are read off straight
    lines.

    Args:
        x: displacements from neutral without gaps, ``(time, features)``.
        seen: bool ``(time,)``, true where a face was seen.
        fps: frames a second.
        window_s: seconds to keep before and after the onset.

    Returns:
        The window's frames ``(new time, features)`` and their mask. Where the window reaches beyond the clip, its first
        or last frame stands still and counts as not seen.
    """
    moved = np.sqrt((x.astype(np.float64) ** 2).mean(axis=1))
    if fps > 2 * _ONSET_HZ:
        moved = low_pass(moved[:, None], fps, _ONSET_HZ, 2)[:, 0]
    half = np.quantile(moved, _FULLY_SHOWN) / 2
    after = int(np.argmax(moved >= half))
    onset = float(after)
    if after:
        onset -= (moved[after] - half) / (moved[after] - moved[after - 1])
    before_s, after_s = window_s
    at = onset + np.arange(-round(before_s * fps), round(after_s * fps) + 1)
    inside = np.clip(at, 0, len(x) - 1)
    low, high = np.floor(inside).astype(int), np.ceil(inside).astype(int)
    share = (inside - low)[:, None].astype(np.float32)
    return (1 - share) * x[low] + share * x[high], seen[low] & seen[high] & (inside == at)


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


def relative_to_neutral(x: np.ndarray, neutral_frames: int, pose: str = "rigid") -> np.ndarray:
    """Turn coordinates ``(time, 80)`` into displacements from the neutral start, free of head motion.

    Each frame is moved, turned and scaled by the similarity that best lays its ``pose`` points on those of the mean of
    the first ``neutral_frames`` frames (least squares, Umeyama 1991); what then differs from the mean is the
    expression. Its unit is a quarter of the inter-ocular distance (between the outer corners of the eyes), so that
    nearly all of it lies within the [-1, 1] that the network can say.

    ``rigid`` points (nose and corners of the eyes) keep what an expression moves apart from what the head does; but the
    noise of six points then moves all forty. With ``all`` that noise is smaller, seven times in variance, and the part
    of an expression that looks like moving, turning or scaling the face is lost.
    """
    # As complex numbers z = u + iv a similarity is z -> a z + b, and least squares has one line.
    z = (x[:, :N_POINTS] + 1j * x[:, N_POINTS:]).astype(np.complex128)
    neutral = z[:neutral_frames].mean(axis=0)
    fixed = list(POSE_POINTS[pose])
    target = neutral[fixed] - neutral[fixed].mean()
    centre = z[:, fixed].mean(axis=1, keepdims=True)
    source = z[:, fixed] - centre
    a = (source.conj() @ target) / (np.abs(source) ** 2).sum(axis=1)
    moved = a[:, None] * (z - centre) + neutral[fixed].mean() - neutral
    moved /= np.abs(neutral[_OUTER_CORNERS[1]] - neutral[_OUTER_CORNERS[0]]) / 4
    return np.concatenate([moved.real, moved.imag], axis=1).astype(np.float32)
