"""Gradient boosting over PB vectors: genuine or fake (section 2.4).

One classifier for each emotion, with XGBoost (Chen & Guestrin, 2016), the library that the paper's reference [3]
names. Each row is one variant of one video as recognition mode (section 2.3.3) left it. The score of a video is
the mean, over its variants, of the probability of fake.

Three things keep the estimate honest. Fitting is given the labels of training videos and no others, and sees only
the rows of those. Folds are made of subjects, so that neither a person nor a video's variants stand on both sides.
And each fit runs on one thread with a fixed seed, so that the same table gives the same model on any number of cores.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xgboost as xgb

from fakeemo.errors import FakeemoError
from fakeemo.tables import read_table, replacing, software

INFO_VERSION = 1
MAX_FOLDS = 5
_COLUMNS = {
    "errors": ("error", "error_genuine", "error_fake"),
    "distances": ("distance_genuine", "distance_fake"),
}
_EPSILON = 1e-7  # keeps the log-loss of a score of exactly 0 or 1 finite


@dataclass(frozen=True)
class BoostingSettings:
    """Hold the keys of the config section ``boosting``. The defaults are the paper's and its authors' code's.

    ``trees`` is the most trees that the folds may choose; ``rate`` the learning rate; ``reg_lambda`` is weighed
    against the sum of p (1 - p) over a leaf's rows, so 1000 suits about a thousand rows and a small set needs
    less; ``subsample`` is the share of rows that each tree sees. ``features`` are any of ``pb`` (the PB vector),
    ``errors`` (prediction error at the found PB and under each class's PB) and ``distances`` (from the found PB to
    each class's). ``threads`` folds are fitted at a time, which changes no result.
    """

    trees: int = 5000
    depth: int = 2
    rate: float = 0.1
    reg_lambda: float = 1000.0
    subsample: float = 0.8
    features: Sequence[str] = ("pb",)
    seed: int = 0
    threads: int = 1


class Score(NamedTuple):
    """Hold the probability of fake of one video and the number of variants that it is the mean of."""

    score: float
    n_variants: int


class _Rows(NamedTuple):
    """Hold the rows of some videos: ``x`` (rows, features), and for each row its video's index and its weight."""

    x: np.ndarray
    video: np.ndarray
    weight: np.ndarray


def feature_columns(available: Sequence[str], features: Sequence[str]) -> list[str]:
    """Name the columns of a PB table that the chosen ``features`` stand for.

    Raises :class:`FakeemoError` for a feature that does not exist or that the table lacks.
    """
    n_pb = sum(name.startswith("pb_") and name[3:].isdigit() for name in available)
    choices = {"pb": tuple(f"pb_{i}" for i in range(n_pb)), **_COLUMNS}
    columns: list[str] = []
    for feature in dict.fromkeys(features):
        if feature not in choices:
            raise FakeemoError(f"boosting.features: '{feature}' is unknown; choose from {', '.join(choices)}")
        columns += choices[feature]
    missing = [name for name in columns if name not in available]
    if missing or not columns:
        raise FakeemoError(
            f"boosting.features: the PB table has no column for {missing or list(features)};"
            " delete the table and run again"
        )
    return columns


def subject_folds(subjects: Iterable[str], seed: int) -> list[list[str]]:
    """Deal the distinct ``subjects`` into min(5, subjects) folds of nearly equal size, at random by ``seed``."""
    distinct = sorted(set(subjects))
    order = np.random.default_rng(seed).permutation(len(distinct))
    n_folds = min(MAX_FOLDS, len(distinct))
    return [sorted(distinct[i] for i in order[k::n_folds]) for k in range(n_folds)]


def fit_boosting(
    pb_table: str | Path,
    labels: Mapping[str, str],
    subjects: Mapping[str, str],
    model_out: str | Path,
    info_out: str | Path,
    *,
    emotion: str,
    settings: BoostingSettings,
) -> None:
    """Fit the classifier of one emotion on the rows that its PB table has of the videos in ``labels``.

    The number of trees, up to ``settings.trees``, is the one with the least log-loss of the videos' scores over
    subject-disjoint folds; the final model has that many trees and is fitted on all training subjects. (The
    authors' code stops where the AUC is least, and keeps the last fold's model.) Each video weighs the same,
    however many variants it has.

    Args:
        pb_table: ``results/pb/{emotion}.parquet``.
        labels: genuine or fake for each labelled training video, by id. Videos without rows are left out.
        subjects: the subject of each of these videos, by id.
        model_out: gets the model, in XGBoost's ``.ubj`` format.
        info_out: gets JSON: what was chosen, the log-loss after each tree, the folds, and the out-of-fold score of
            each training video.
        emotion: for messages and ``info_out``.
        settings: see :class:`BoostingSettings`.

    Raises:
        FakeemoError: if training has only one label or only one subject, or a value is not finite.
    """
    table, _ = read_table(pb_table)
    columns = feature_columns(list(table), settings.features)
    training = np.isin(table["video_id"], [video_id for video_id, label in labels.items() if label])
    table = {name: values[training] for name, values in table.items()}
    video_ids, video = np.unique(table["video_id"], return_inverse=True)
    is_fake = np.array([labels[name] == "fake" for name in video_ids])
    subject = np.array([subjects[name] for name in video_ids])
    _check_training(is_fake, subject, emotion)
    x = _features(table, columns, pb_table)

    folds = subject_folds(subject, settings.seed)
    held_out = [np.isin(subject, fold) for fold in folds]

    def run_fold(out: np.ndarray) -> tuple[xgb.Booster, np.ndarray]:
        return _fit(x, video, is_fake, ~out, settings.trees, settings, columns, watch=out)

    with ThreadPoolExecutor(max(1, settings.threads)) as pool:
        fitted = list(pool.map(run_fold, held_out))
    loss_by_trees = np.sum([losses for _, losses in fitted], axis=0) / len(video_ids)
    n_trees = int(np.argmin(loss_by_trees)) + 1

    scores = np.empty(len(video_ids))
    for (fold_booster, _), out in zip(fitted, held_out, strict=True):
        rows = _rows(x, video, out)
        found = _mean_by_video(_predict(fold_booster, rows.x, n_trees), rows.video, len(video_ids))
        scores[out] = found[out]

    booster, _ = _fit(x, video, is_fake, np.ones(len(video_ids), bool), n_trees, settings, columns)
    with replacing(model_out) as temporary:
        booster.save_model(temporary)

    info = {
        "kind": "boosting",
        "schema_version": INFO_VERSION,
        "emotion": emotion,
        "settings": {**asdict(settings), "features": list(settings.features)},
        "features": columns,
        "n_videos": len(video_ids),
        "n_rows": len(x),
        "trees": n_trees,
        "log_loss": float(loss_by_trees[n_trees - 1]),
        "log_loss_of_guessing": float(np.log(2)),
        "log_loss_by_trees": [round(float(value), 6) for value in loss_by_trees],
        "folds": [
            {
                "subjects": fold,
                "n_videos": int(out.sum()),
                "log_loss": float(losses[n_trees - 1] / out.sum()),
                "correct": int(((scores[out] > 0.5) == is_fake[out]).sum()),
            }
            for fold, out, (_, losses) in zip(folds, held_out, fitted, strict=True)
        ],
        "out_of_fold": {str(name): round(float(s), 6) for name, s in zip(video_ids, scores, strict=True)},
        "software": software("numpy", "xgboost"),
    }
    with replacing(info_out) as temporary:
        temporary.write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")


def predict_scores(pb_table: str | Path, model: str | Path) -> dict[str, Score]:
    """Score every video of a PB table, of any split: :class:`Score` by video id.

    Raises :class:`FakeemoError` if the model cannot be read, or needs a column that the table lacks.
    """
    table, _ = read_table(pb_table)
    if len(table["video_id"]) == 0:
        return {}
    booster = xgb.Booster({"nthread": 1})
    try:
        booster.load_model(model)
    except (xgb.core.XGBoostError, OSError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise FakeemoError(f"{model}: not a boosting model ({reason}); delete it and run again") from error
    columns = booster.feature_names or []
    missing = [name for name in columns if name not in table]
    if missing or not columns:
        raise FakeemoError(f"{pb_table}: lacks {missing}, which {model} was fitted on; fit the model again")
    video_ids, video = np.unique(table["video_id"], return_inverse=True)
    means = _mean_by_video(_predict(booster, _features(table, columns, pb_table)), video, len(video_ids))
    counts = np.bincount(video)
    return {str(name): Score(float(m), int(n)) for name, m, n in zip(video_ids, means, counts, strict=True)}


def _check_training(is_fake: np.ndarray, subject: np.ndarray, emotion: str) -> None:
    if len(set(is_fake)) < 2:
        n_fake = int(is_fake.sum())
        raise FakeemoError(
            f"{emotion}: the usable training videos are {len(is_fake) - n_fake} genuine and {n_fake} fake;"
            " both labels are needed: add training videos of this emotion or leave it out of the sample sheet"
        )
    if len(set(subject)) < 2:
        raise FakeemoError(
            f"{emotion}: all usable training videos are of subject '{subject[0]}'; folds need at least two subjects"
        )


def _features(table: dict[str, np.ndarray], columns: Sequence[str], path: str | Path) -> np.ndarray:
    x = np.column_stack([table[name] for name in columns]).astype(np.float32)
    bad = ~np.isfinite(x).all(axis=1)
    if bad.any():
        raise FakeemoError(
            f"{path}: video '{table['video_id'][bad][0]}' has a PB value that is not finite; recognition diverged:"
            " lower its learning rate"
        )
    return x


def _rows(x: np.ndarray, video: np.ndarray, use: np.ndarray) -> _Rows:
    """Take the rows of the videos marked in ``use``; each video weighs the same, and a row 1 on average."""
    rows = use[video]
    per_video = np.bincount(video)
    weight = rows.sum() / use.sum() / per_video[video[rows]]
    return _Rows(x[rows], video[rows], weight)


def _fit(
    x: np.ndarray,
    video: np.ndarray,
    is_fake: np.ndarray,
    use: np.ndarray,
    n_trees: int,
    settings: BoostingSettings,
    columns: Sequence[str],
    *,
    watch: np.ndarray | None = None,
) -> tuple[xgb.Booster, np.ndarray]:
    """Grow ``n_trees`` trees on the videos marked in ``use``.

    Gives the model and, for the videos marked in ``watch``, the summed log-loss of their scores after each tree.
    """
    parameters: dict[str, Any] = {
        "objective": "binary:logistic",
        "base_score": 0.5,
        "tree_method": "hist",
        "max_depth": settings.depth,
        "eta": settings.rate,
        "reg_lambda": settings.reg_lambda,
        "subsample": settings.subsample,
        "seed": settings.seed,
        "nthread": 1,  # sums of floats depend on how threads share them
        "disable_default_eval_metric": True,
    }
    train = _rows(x, video, use)
    matrix = xgb.DMatrix(train.x, is_fake[train.video], weight=train.weight, feature_names=list(columns), nthread=1)
    if watch is None:
        return xgb.train(parameters, matrix, n_trees), np.empty(0)

    losses: list[float] = []
    rows = _rows(x, video, watch)
    held_out = xgb.DMatrix(rows.x, feature_names=list(columns), nthread=1)

    def watched_loss(probabilities: np.ndarray, _: xgb.DMatrix) -> tuple[str, float]:
        scores = _mean_by_video(probabilities, rows.video, len(is_fake))[watch]
        losses.append(_log_loss_sum(is_fake[watch], scores))
        return "log_loss", losses[-1]

    booster = xgb.train(
        parameters, matrix, n_trees, evals=[(held_out, "out")], custom_metric=watched_loss, verbose_eval=False
    )
    return booster, np.array(losses)


def _predict(booster: xgb.Booster, x: np.ndarray, n_trees: int = 0) -> np.ndarray:
    """Give the probability of fake of each row by the first ``n_trees`` trees (0: all)."""
    matrix = xgb.DMatrix(x, feature_names=booster.feature_names, nthread=1)
    return np.asarray(booster.predict(matrix, iteration_range=(0, n_trees)), np.float64)


def _mean_by_video(values: np.ndarray, video: np.ndarray, n_videos: int) -> np.ndarray:
    """Average ``values`` (rows) over each video; NaN for a video without rows."""
    sums = np.bincount(video, values, n_videos)
    with np.errstate(invalid="ignore"):
        return sums / np.bincount(video, minlength=n_videos)


def _log_loss_sum(is_fake: np.ndarray, scores: np.ndarray) -> float:
    scores = np.clip(scores, _EPSILON, 1 - _EPSILON)
    return float(-np.log(np.where(is_fake, scores, 1 - scores)).sum())
