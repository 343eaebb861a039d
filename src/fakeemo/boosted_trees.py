"""Trees on the rows of PB tables: their settings, one fit, and the probabilities that it gives (section 2.4).

What is chosen by such fits, and how, stands in :mod:`fakeemo.boosting`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import xgboost as xgb

from fakeemo.calibration import log_losses
from fakeemo.errors import FakeemoError
from fakeemo.linear import LinearModel, fit_linear, linear_margins, video_means

ANY = ""  # the emotion's name in a linear model of one emotion
_BINS = 64  # cuts for each feature: about one a video in a set such as the paper's, and 2.5 times faster than 256


@dataclass(frozen=True)
class BoostingSettings:
    """Hold the keys of the config section ``boosting``. The defaults are the paper's and its authors' code's.

    ``trees`` is the most trees that the folds may choose; ``depth`` of a tree and ``rate`` (the learning rate) are one
    value each, or several for the folds to choose from; ``reg_lambda`` is weighed against the sum of p (1 - p) over a
    leaf's rows, so 1000 suits about a thousand rows and a small set needs less; ``subsample`` is the share of rows
    that each tree sees. ``features`` are any of ``pb`` (the PB vector), ``errors`` (prediction error at the found PB
    and under each class's PB) and ``distances`` (from the found PB to each class's). ``threads`` fits run at a time,
    which changes no result. ``device`` is cpu or cuda. ``start`` is what the trees start from: ``even`` odds, or
    ``linear``, the log-odds of a logistic regression on the videos' mean features (:mod:`fakeemo.linear`), which trees
    then correct: some thousand splits along single features make a poor slope in 16 directions at once. ``rule`` says
    how many trees the folds choose: as many as give the ``least-loss``, or, by the ``one-standard-error`` rule (Breiman
    et al. 1984), as few as are no more than the standard error of the difference over subjects behind it.
    """

    trees: int = 5000
    depth: int | Sequence[int] = 2
    rate: float | Sequence[float] = 0.1
    reg_lambda: float = 1000.0
    subsample: float = 0.8
    features: Sequence[str] = ("pb",)
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    start: str = "even"
    rule: str = "least-loss"

    def candidates(self) -> list["BoostingSettings"]:
        """Give these settings for each pair of depth and rate, the first depth with each rate first."""
        depths = [self.depth] if isinstance(self.depth, int) else self.depth
        rates = self.rate if isinstance(self.rate, Sequence) else [self.rate]
        return [replace(self, depth=depth, rate=rate) for depth, rate in product(depths, rates)]


class Fit(NamedTuple):
    """Hold a model and, after each of its trees, the log-losses of the watched videos' raw scores, (trees, videos)."""

    booster: xgb.Booster
    losses: np.ndarray
    linear: LinearModel | None


class Rows(NamedTuple):
    """Hold the rows of some videos: ``x`` (rows, features), and for each row its video's index and its weight."""

    x: np.ndarray
    video: np.ndarray
    weight: np.ndarray


def rows_of(x: np.ndarray, video: np.ndarray, use: np.ndarray) -> Rows:
    """Take the rows of the videos marked in ``use``; each video weighs the same, and a row 1 on average."""
    rows = use[video]
    per_video = np.bincount(video)
    weight = rows.sum() / use.sum() / per_video[video[rows]]
    return Rows(x[rows], video[rows], weight)


def fit_trees(
    x: np.ndarray,
    video: np.ndarray,
    is_fake: np.ndarray,
    subject: np.ndarray,
    use: np.ndarray,
    n_trees: int,
    settings: BoostingSettings,
    columns: Sequence[str],
    *,
    watch: np.ndarray | None = None,
) -> Fit:
    """Grow ``n_trees`` trees on the videos marked in ``use``, and watch the videos marked in ``watch``."""
    linear = None
    if settings.start == "linear":
        _, means, _ = video_means(video, x)
        linear = fit_linear(
            means[use],
            subject[use],
            np.full(use.sum(), ANY),
            is_fake[use],
            method="direct",
            seed=settings.seed,
            what="boosting.start linear",
        )
    start = starting_log_odds(linear, x, video)
    parameters: dict[str, Any] = {
        "objective": "binary:logistic",
        "base_score": 0.5,
        "tree_method": "hist",
        "max_bin": _BINS,
        "max_depth": settings.depth,
        "eta": settings.rate,
        "reg_lambda": settings.reg_lambda,
        "subsample": settings.subsample,
        "seed": settings.seed,
        "nthread": 1,  # sums of floats depend on how threads share them
        "device": settings.device,
        "disable_default_eval_metric": True,
    }
    train = rows_of(x, video, use)
    matrix = xgb.DMatrix(train.x, is_fake[train.video], weight=train.weight, feature_names=list(columns), nthread=1)
    matrix.set_base_margin(start[train.video])
    if watch is None:
        return Fit(_on_device(xgb.train(parameters, matrix, n_trees), settings.device), np.empty((0, 0)), linear)

    losses: list[np.ndarray] = []
    rows = rows_of(x, video, watch)
    held_out = xgb.DMatrix(rows.x, feature_names=list(columns), nthread=1)
    held_out.set_base_margin(start[rows.video])

    def watched_loss(probabilities: np.ndarray, _: xgb.DMatrix) -> tuple[str, float]:
        scores = mean_by_video(probabilities, rows.video, len(is_fake))[watch]
        losses.append(log_losses(is_fake[watch], scores))
        return "log_loss", float(losses[-1].mean())

    booster = xgb.train(
        parameters, matrix, n_trees, evals=[(held_out, "out")], custom_metric=watched_loss, verbose_eval=False
    )
    return Fit(_on_device(booster, settings.device), np.array(losses), linear)


def starting_log_odds(linear: LinearModel | None, x: np.ndarray, video: np.ndarray) -> np.ndarray:
    """Give the log-odds ``(videos,)`` that the trees of each video start from."""
    _, means, _ = video_means(video, x)
    return np.zeros(len(means)) if linear is None else linear_margins(means, np.full(len(means), ANY), linear)


def _on_device(booster: xgb.Booster, device: str) -> xgb.Booster:
    """Give ``booster``, unless XGBoost went over to the CPU because it found no GPU: it only warns of that."""
    used = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
    if device == "cuda" and not used.startswith("cuda"):
        raise FakeemoError("boosting.device is 'cuda', but XGBoost found no CUDA device; set boosting.device: cpu")
    return booster


def probabilities(booster: xgb.Booster, x: np.ndarray, start: np.ndarray, n_trees: int = 0) -> np.ndarray:
    """Give the probability of fake of each row by log-odds ``start`` and the first ``n_trees`` trees (0: all)."""
    matrix = xgb.DMatrix(x, feature_names=booster.feature_names, nthread=1)
    matrix.set_base_margin(start)
    return np.asarray(booster.predict(matrix, iteration_range=(0, n_trees)), np.float64)


def mean_by_video(values: np.ndarray, video: np.ndarray, n_videos: int) -> np.ndarray:
    """Average ``values`` (rows) over each video; NaN for a video without rows."""
    sums = np.bincount(video, values, n_videos)
    with np.errstate(invalid="ignore"):
        return sums / np.bincount(video, minlength=n_videos)
