"""What a few dozen videos can show: an interval for the AUC, a test against chance, and how far scores can be believed.

Intervals come from drawing subjects, not videos, since videos of one person are alike. The test against chance goes
through all ways in which the labels could have been dealt, so it has no draws and no seed.
"""

from collections.abc import Sequence
from math import comb
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from fakeemo.calibration import log_losses

N_DRAWS = 2000
MIN_SUBJECTS = 5
_MAX_BINS, _PER_BIN = 10, 10


class Permutation(NamedTuple):
    """Hold the test against chance: the p value, and how many videos had their labels dealt within what."""

    p: float
    within_subject: int
    within_emotion: int


def auc_interval(
    is_fake: NDArray[np.bool_],
    scores: NDArray[np.float64],
    subjects: Sequence[str],
    *,
    draws: int = N_DRAWS,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Give the 95 % interval of the AUC by the cluster bootstrap (Field & Welsh, 2007), percentile method.

    Each draw takes as many subjects as there are, with replacement, and all videos of each. Draws without both labels
    are left out. None where draws cannot say anything: below five subjects (four can be drawn in 35 ways only, too few
    for tails of 2.5 %), or where scores part the labels fully or not at all (so would every draw). With some ten
    subjects or fewer such intervals tend to be too narrow.

    Args:
        is_fake: (videos,), labels of both kinds.
        scores: (videos,).
        subjects: of each video.
        draws: how many.
        seed: of the draws.
    """
    names, cluster = np.unique(np.asarray(subjects), return_inverse=True)
    if len(names) < MIN_SUBJECTS or is_fake.all() or not is_fake.any():
        return None
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws).astype(float)
    fake, genuine = times[:, cluster[is_fake]], times[:, cluster[~is_fake]]
    difference = scores[is_fake][:, None] - scores[~is_fake]
    above = (difference > 0) + 0.5 * (difference == 0)
    if above.min() == above.max():
        return None
    pairs = fake.sum(axis=1) * genuine.sum(axis=1)
    drawn = ((fake @ above) * genuine).sum(axis=1)[pairs > 0] / pairs[pairs > 0]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def permutation_test(
    is_fake: NDArray[np.bool_], called_fake: NDArray[np.bool_], subjects: Sequence[str], emotions: Sequence[str]
) -> Permutation:
    """Test whether labels that have nothing to do with the videos would be met as well, or as badly: exact, two-sided.

    Labels are permuted among the videos of one subject and emotion where these have both labels, so that neither the
    person nor the emotion can be what is recognised; among all other videos of one emotion. Within a block of n videos,
    of which f are fake and c are called fake, the number rightly called fake is hypergeometric; the distribution of the
    sum over blocks is their convolution. What counts is how far the number of right verdicts is from its mean. The
    labels as they are count among the permutations, so p is never 0.

    Args:
        is_fake: (videos,), the labels.
        called_fake: (videos,), the verdicts.
        subjects: of each video.
        emotions: of each video.
    """
    own = np.array([f"{emotion}\t{subject}" for emotion, subject in zip(emotions, subjects, strict=True)])
    mixed = {name for name in set(own.tolist()) if len(set(is_fake[own == name].tolist())) == 2}
    within = np.isin(own, list(mixed))
    blocks = np.where(within, own, np.asarray(emotions, dtype=own.dtype))
    distribution, least = np.ones(1), 0
    for name in sorted(set(blocks.tolist())):
        here = blocks == name
        n, f, c = int(here.sum()), int(is_fake[here].sum()), int(called_fake[here].sum())
        hits = range(max(0, f + c - n), min(f, c) + 1)
        # With h hits among the called, n - f - c + 2 h are judged rightly: every second number.
        shares = np.zeros(2 * len(hits) - 1)
        shares[::2] = [comb(f, h) * comb(n - f, c - h) / comb(n, c) for h in hits]
        distribution = np.convolve(distribution, shares)
        least += n - f - c + 2 * hits[0]
    counts = least + np.arange(len(distribution))
    expected = float(distribution @ counts)
    distance = abs(int((is_fake == called_fake).sum()) - expected)
    p = float(distribution[np.abs(counts - expected) >= distance - 1e-9].sum())
    return Permutation(min(1.0, p), int(within.sum()), int((~within).sum()))


def reliability(is_fake: NDArray[np.bool_], scores: NDArray[np.float64], *, seed: int = 0) -> dict[str, Any]:
    """Say how far scores are probabilities of fake.

    Gives ``brier`` (mean square of score minus label; 0.25 for always saying one half), ``log_loss``, ``ece`` (expected
    calibration error: how far a bin's mean score is from its share of fake, averaged over videos),
    ``ece_if_calibrated`` (what that would be by chance alone if the scores were right, the mean of 1,000 draws of
    labels), and ``bins`` of about ten videos or more, by score: ``n``, ``score`` (mean), ``n_fake``.
    """
    n = len(scores)
    n_bins = int(np.clip(n // _PER_BIN, 1, _MAX_BINS))
    # By middle rank: equal scores fall into one bin.
    _, bins = np.unique(np.floor((rankdata(scores) - 0.5) * n_bins / n), return_inverse=True)
    counts, sums = np.bincount(bins), np.bincount(bins, scores)
    member = np.zeros((len(counts), n))
    member[bins, np.arange(n)] = 1

    def ece(labels: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(np.abs(labels @ member.T - sums).sum(axis=-1) / n)

    drawn = np.random.default_rng(seed).random((1000, n)) < scores
    return {
        "brier": float(np.mean((scores - is_fake) ** 2)),
        "log_loss": float(log_losses(is_fake, scores).mean()),
        "ece": float(ece(is_fake.astype(float))),
        "ece_if_calibrated": float(ece(drawn.astype(float)).mean()),
        "bins": [
            {"n": int(count), "score": float(total / count), "n_fake": int(n_fake)}
            for count, total, n_fake in zip(counts, sums, member @ is_fake, strict=True)
        ],
    }
