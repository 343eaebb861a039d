"""Logistic regression, genuine or fake, with a quadratic penalty on the weights of standardised features.

It is what simple rivals of boosting learn by, and what boosting may start from. ``direct`` asks of each video whether
it is fake. ``pairs`` is given differences, fake less genuine, of two videos of one subject and emotion, in which what
is the subject's own cancels (RankSVM, Joachims 2002, with the logistic loss); its weights then score single videos
too. Features are centred for each emotion half way between the labels, so that neither way needs an intercept.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from fakeemo.errors import FakeemoError

Method = Literal["direct", "pairs"]

MAX_FOLDS = 5
PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # of the squared weights, against the mean log-loss
_FARTHEST = 4.0  # standard deviations: one odd clip must not decide


class LinearModel(NamedTuple):
    """Hold what :func:`fit_linear` found.

    ``centre`` are the features ``(features,)`` half way between the labels, by emotion; ``scale`` and ``weights``
    ``(features,)`` are for all emotions. ``log_loss`` is the mean over held-out rows at the chosen ``penalty``, and
    ``n_rows`` the number of videos or pairs that the weights were fitted to.
    """

    centre: dict[str, np.ndarray]
    scale: np.ndarray
    weights: np.ndarray
    penalty: float = 0.0
    log_loss: float = 0.0
    n_rows: int = 0


def subject_folds(subjects: Iterable[str], seed: int) -> list[list[str]]:
    """Deal the distinct ``subjects`` into min(5, subjects) folds of nearly equal size, at random by ``seed``."""
    distinct = sorted(set(subjects))
    order = np.random.default_rng(seed).permutation(len(distinct))
    n_folds = min(MAX_FOLDS, len(distinct))
    return [sorted(distinct[i] for i in order[k::n_folds]) for k in range(n_folds)]


def fit_linear(
    x: np.ndarray,
    subject: np.ndarray,
    emotion: np.ndarray,
    is_fake: np.ndarray,
    *,
    method: Method,
    seed: int = 0,
    what: str,
) -> LinearModel:
    """Fit one model to videos of one or several emotions; subject-disjoint folds choose the penalty by log-loss.

    Args:
        x: features ``(videos, features)``.
        subject: of each video ``(videos,)``.
        emotion: of each video ``(videos,)``.
        is_fake: bool ``(videos,)``.
        method: ``direct``, or ``pairs``, which leaves out videos that have no counterpart.
        seed: of the folds.
        what: a word for messages.

    Raises:
        FakeemoError: if an emotion has one label only, there is one subject only, or there are no pairs.
    """
    _check_training(subject, emotion, is_fake, method, what)
    losses, counts = np.zeros(len(PENALTIES)), 0
    for fold in subject_folds(subject, seed):
        out = np.isin(subject, fold)
        centre, scale = _standard(x[~out], emotion[~out], is_fake[~out])
        inside, outside = (
            _rows(_standardised(x[use], emotion[use], centre, scale), subject[use], emotion[use], is_fake[use], method)
            for use in (~out, out & np.isin(emotion, list(centre)))
        )
        losses += [np.logaddexp(0, -outside @ _weights(inside, penalty)).sum() for penalty in PENALTIES]
        counts += len(outside)
    penalty = PENALTIES[int(np.argmin(losses))]
    centre, scale = _standard(x, emotion, is_fake)
    rows = _rows(_standardised(x, emotion, centre, scale), subject, emotion, is_fake, method)
    return LinearModel(centre, scale, _weights(rows, penalty), penalty, float(losses.min() / max(counts, 1)), len(rows))


def linear_scores(x: np.ndarray, emotion: np.ndarray, model: LinearModel) -> np.ndarray:
    """Give the probability of fake ``(videos,)`` of videos with features ``x`` ``(videos, features)``."""
    scores: np.ndarray = expit(linear_margins(x, emotion, model))
    return scores


def linear_margins(x: np.ndarray, emotion: np.ndarray, model: LinearModel) -> np.ndarray:
    """Give the log-odds of fake ``(videos,)``; see :func:`linear_scores`."""
    margins: np.ndarray = _standardised(x, emotion, model.centre, model.scale) @ model.weights
    return margins


def video_means(video_id: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average ``rows`` ``(rows, features)``, one a variant, over each video.

    Gives the distinct ids, the means ``(videos, features)``, and the numbers of rows.
    """
    video_ids, video, counts = np.unique(video_id, return_inverse=True, return_counts=True)
    sums = np.zeros((len(video_ids), rows.shape[1]))
    np.add.at(sums, video, rows.astype(np.float64))
    return video_ids, sums / counts[:, None], counts


def _check_training(subject: np.ndarray, emotion: np.ndarray, is_fake: np.ndarray, method: Method, what: str) -> None:
    if len(set(subject)) < 2:
        raise FakeemoError(f"{what}: the usable training videos are of fewer than two subjects; add subjects")
    for name in np.unique(emotion):
        if len(set(is_fake[emotion == name])) < 2:
            raise FakeemoError(f"{what}: the usable training videos of {name} have one label only; add the other")
    if method == "pairs" and not len(_pairs(subject, emotion, is_fake)):
        raise FakeemoError(f"{what}: no training subject shows an emotion both genuinely and acted; use method direct")


def _pairs(subject: np.ndarray, emotion: np.ndarray, is_fake: np.ndarray) -> np.ndarray:
    """Give the indices (pairs, 2) of a genuine and a fake video of the same subject and emotion."""
    members: dict[tuple[str, str], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for i, key in enumerate(zip(subject, emotion, strict=True)):
        members[key][int(is_fake[i])].append(i)
    found = [(g, f) for genuine, fake in members.values() for g in genuine for f in fake]
    return np.array(found, int).reshape(-1, 2)


def _rows(z: np.ndarray, subject: np.ndarray, emotion: np.ndarray, is_fake: np.ndarray, method: Method) -> np.ndarray:
    """Give what the weights are to make positive, (rows, features)."""
    if method == "direct":
        return np.where(is_fake[:, None], z, -z)
    genuine, fake = _pairs(subject, emotion, is_fake).T
    differences: np.ndarray = z[fake] - z[genuine]
    return differences


def _standard(x: np.ndarray, emotion: np.ndarray, is_fake: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Give each emotion's centre, half way between its two labels' means, and the spread within emotions."""
    centre = {}
    for name in np.unique(emotion):
        here = emotion == name
        means = [
            x[here & (is_fake == label)].mean(axis=0) for label in (False, True) if (here & (is_fake == label)).any()
        ]
        centre[str(name)] = np.mean(means, axis=0)
    spread = (x - np.stack([centre[name] for name in emotion])).std(axis=0)
    return centre, np.where(spread > 0, spread, 1.0)


def _standardised(
    x: np.ndarray, emotion: np.ndarray, centre: Mapping[str, np.ndarray], scale: np.ndarray
) -> np.ndarray:
    z = (x - np.array([centre[name] for name in emotion]).reshape(x.shape)) / scale
    clipped: np.ndarray = z.clip(-_FARTHEST, _FARTHEST)
    return clipped


def _weights(rows: np.ndarray, penalty: float) -> np.ndarray:
    """Minimise the mean log-loss of ``rows`` plus half the squared weights times ``penalty``."""
    n = max(len(rows), 1)  # a fold may leave no pair

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = rows @ w
        value = np.logaddexp(0, -margin).sum() / n + penalty / 2 * w @ w
        return value, -rows.T @ expit(-margin) / n + penalty * w

    found: np.ndarray = minimize(loss, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B").x
    return found
