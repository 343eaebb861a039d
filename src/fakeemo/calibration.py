"""Scores made into probabilities: Platt's calibration, fitted on scores of videos that the model had not seen.

Boosting with strong shrinkage gives scores too near to one half, without any it gives scores too near to 0 and 1. On
some 30 to 80 videos no free curve (isotonic regression, say) can be fitted; two numbers can: the score's logit is
stretched by a slope and moved by an intercept. A slope above 0 keeps the order of the videos, and so the AUC.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

_EPSILON = 1e-7  # keeps logit and log-loss of a score of exactly 0 or 1 finite
_LOG_SLOPE_SD = 2.0  # mild: 95 % of slopes between 1/50 and 50
_INTERCEPT_SD = 1.0


class Calibration(NamedTuple):
    """Hold the line through the logits. The neutral one, slope 1 and intercept 0, leaves scores as they are."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Give the probabilities of ``scores`` between 0 and 1, of any shape."""
        return _sigmoid(self.slope * _logit(scores) + self.intercept)


def fit_calibration(is_fake: ArrayLike, scores: ArrayLike) -> Calibration:
    """Fit slope and intercept to the labels by penalised maximum likelihood.

    The targets are Platt's (1999): (f + 1) / (f + 2) and 1 / (g + 2) with f fake and g genuine videos, which keeps
    probabilities from 0 and 1 where scores part the classes. Beside that, log slope and intercept are drawn to 0 by
    normal priors of standard deviations 2 and 1, so that the slope is above 0 even where scores are worse than
    guessing, and few videos change little.

    Args:
        is_fake: (videos,), the labels.
        scores: (videos,), probabilities of fake that the videos got from models not fitted on them.
    """
    from scipy.optimize import minimize  # here, since only fitting needs it

    is_fake, logits = np.asarray(is_fake, bool), _logit(scores)
    n_fake = int(is_fake.sum())
    targets = np.where(is_fake, (n_fake + 1) / (n_fake + 2), 1 / (len(is_fake) - n_fake + 2))

    def loss(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slope = np.exp(at[0])
        z = slope * logits + at[1]
        prior = at / (_LOG_SLOPE_SD**2, _INTERCEPT_SD**2)
        value = np.logaddexp(0, z).sum() - targets @ z + (prior @ at) / 2
        residual = _sigmoid(z) - targets
        return float(value), np.array([slope * (residual @ logits), residual.sum()]) + prior

    found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-8, 8), (-8, 8)], options={"ftol": 1e-14})
    return Calibration(float(np.exp(found.x[0])), float(found.x[1]))


def read_calibration(info: Mapping[str, Any]) -> Calibration:
    """Take the calibration out of what ``boosting.fit_boosting`` noted."""
    return Calibration(info["calibration"]["slope"], info["calibration"]["intercept"])


def log_losses(is_fake: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Give the log-loss of each video's score (videos,), by its label (videos,)."""
    clipped = _clipped(scores)
    return np.asarray(-np.log(np.where(is_fake, clipped, 1 - clipped)))


def _logit(scores: ArrayLike) -> NDArray[np.float64]:
    clipped = _clipped(scores)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _clipped(scores: ArrayLike) -> NDArray[np.float64]:
    return np.clip(np.asarray(scores, np.float64), _EPSILON, 1 - _EPSILON)


def _sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-np.logaddexp(0, -z)))
