"""Gradient boosting over PB vectors: genuine or fake (section 2.4).

One classifier for each emotion, with XGBoost (Chen & Guestrin, 2016), the library that the paper's reference [3]
names. Each row is one variant of one video as recognition mode (section 2.3.3) left it. The raw score of a video is
the mean, over its variants, of the probability of fake; its score is that after calibration.

Four things keep the estimate honest. Fitting is given the labels of training videos and no others, and sees only
the rows of those. Folds are made of subjects, so that neither a person nor a video's variants stand on both sides;
that is checked before any fit. What is chosen (trees, depth, rate, calibration) is chosen on the folds' held-out
videos. And each fit runs on one thread with a fixed seed, so that the same table gives the same model on any number of
cores (on a GPU the sums are rounded otherwise, so a model fitted there is another one).
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xgboost as xgb

from fakeemo.boosted_trees import (
    ANY,
    BoostingSettings,
    Fit,
    fit_trees,
    mean_by_video,
    probabilities,
    rows_of,
    starting_log_odds,
)
from fakeemo.calibration import fit_calibration, log_losses, read_calibration
from fakeemo.errors import FakeemoError
from fakeemo.files import replacing
from fakeemo.linear import LinearModel, subject_folds
from fakeemo.tables import read_table, software

INFO_VERSION = 3
_COLUMNS = {
    "errors": ("error", "error_genuine", "error_fake"),
    "distances": ("distance_genuine", "distance_fake"),
}


class Score(NamedTuple):
    """Hold the calibrated probability of fake of one video and the number of variants that it was judged by."""

    score: float
    n_variants: int


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

    The number of trees, up to ``settings.trees``, and depth and rate where several are given, are those with the least
    log-loss of the videos' raw scores over subject-disjoint folds, the same folds for all; the final model is fitted so
    on all training subjects. (The authors' code stops where the AUC is least, and keeps the last fold's model.) The
    held-out scores of what was chosen also give the calibration. Each video weighs the same, however many variants it
    has.

    Args:
        pb_table: ``results/pb/{emotion}.parquet``.
        labels: genuine or fake for each labelled training video, by id. Videos without rows are left out.
        subjects: the subject of each of these videos, by id.
        model_out: gets the model, in XGBoost's ``.ubj`` format.
        info_out: gets JSON: what was chosen, the log-loss in each fold for every candidate, the log-loss after each
            tree for the chosen one, the calibration, and the held-out raw score of each training video. As
            :func:`predict_scores` looks for it beside the model, it has the model's name but for the ending ``.json``.
        emotion: for messages and ``info_out``.
        settings: see :class:`BoostingSettings`.

    Raises:
        FakeemoError: if training has only one label or only one subject, a value is not finite, or a GPU is asked for
            and there is none.
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
    check_folds(held_out, subject)
    candidates = settings.candidates()

    def run_fold(task: tuple[BoostingSettings, np.ndarray]) -> Fit:
        candidate, out = task
        return fit_trees(x, video, is_fake, subject, ~out, settings.trees, candidate, columns, watch=out)

    with ThreadPoolExecutor(max(1, settings.threads)) as pool:
        tasks = list(pool.map(run_fold, product(candidates, held_out)))
    fits = [tasks[k : k + len(folds)] for k in range(0, len(tasks), len(folds))]  # of each candidate, fold by fold
    curves = [np.hstack([fold.losses for fold in fit]).mean(axis=1) for fit in fits]
    best = int(np.argmin([curve.min() for curve in curves]))
    chosen, fit, curve = candidates[best], fits[best], curves[best]
    watched = np.concatenate([subject[out] for out in held_out])
    n_trees = choose_trees(np.hstack([fold.losses for fold in fit]), watched, settings.rule)

    scores = np.empty(len(video_ids))
    for fold, out in zip(fit, held_out, strict=True):
        rows = rows_of(x, video, out)
        start = starting_log_odds(fold.linear, x, video)[rows.video]
        found = mean_by_video(probabilities(fold.booster, rows.x, start, n_trees), rows.video, len(video_ids))
        scores[out] = found[out]
    calibration = fit_calibration(is_fake, scores)

    final = fit_trees(x, video, is_fake, subject, np.ones(len(video_ids), bool), n_trees, chosen, columns)
    with replacing(model_out) as temporary:
        final.booster.save_model(temporary)

    sizes = [int(out.sum()) for out in held_out]
    info = {
        "kind": "boosting",
        "schema_version": INFO_VERSION,
        "emotion": emotion,
        "settings": {**asdict(settings), "features": list(settings.features)},
        "features": columns,
        "start": None if final.linear is None else _as_json(final.linear),
        "n_videos": len(video_ids),
        "n_rows": len(x),
        "trees": n_trees,
        "depth": chosen.depth,
        "rate": chosen.rate,
        "log_loss": float(curve[n_trees - 1]),
        "log_loss_of_guessing": float(np.log(2)),
        "calibration": {
            **calibration._asdict(),
            "log_loss": float(log_losses(is_fake, calibration(scores)).mean()),
        },
        "candidates": [
            _candidate_facts(candidate, fit, curve)
            for candidate, fit, curve in zip(candidates, fits, curves, strict=True)
        ],
        "log_loss_by_trees": [round(float(value), 6) for value in curve],
        "folds": [
            {
                "subjects": names,
                "n_videos": size,
                "log_loss": float(fold.losses[n_trees - 1].mean()),
                "correct": int(((scores[out] > 0.5) == is_fake[out]).sum()),
            }
            for names, size, out, fold in zip(folds, sizes, held_out, fit, strict=True)
        ],
        "out_of_fold": {str(name): round(float(s), 6) for name, s in zip(video_ids, scores, strict=True)},
        "software": software("numpy", "scipy", "xgboost"),
    }
    with replacing(info_out) as temporary:
        temporary.write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")


def predict_scores(pb_table: str | Path, model: str | Path) -> dict[str, Score]:
    """Score every video of a PB table, of any split: :class:`Score` by video id.

    The calibration is read from the model's JSON file beside it. Raises :class:`FakeemoError` if either file cannot be
    read, the two are not of one fit, or the model needs a column that the table lacks.
    """
    return {video: found.score for video, found in predict_variants(pb_table, model).items()}


class VariantScores(NamedTuple):
    """Hold the score of a video, and that of each of its variants by itself, in the order of the PB table's rows."""

    score: Score
    variants: np.ndarray


def predict_variants(pb_table: str | Path, model: str | Path) -> dict[str, VariantScores]:
    """Do what :func:`predict_scores` does, and score each variant as if it were a video of its own, too."""
    table, _ = read_table(pb_table)
    if len(table["video_id"]) == 0:
        return {}
    booster = xgb.Booster({"nthread": 1})
    try:
        booster.load_model(model)
    except (xgb.core.XGBoostError, OSError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise FakeemoError(f"{model}: not a boosting model ({reason}); delete it and run again") from error
    info_file = Path(model).with_suffix(".json")
    try:
        info = json.loads(info_file.read_text(encoding="utf-8"))
        calibration, n_trees, linear = read_calibration(info), info["trees"], _from_json(info["start"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FakeemoError(f"{info_file}: no calibration of {model} ({error}); delete both and run again") from error
    columns = booster.feature_names or []
    if (n_trees, info["features"]) != (booster.num_boosted_rounds(), columns):
        raise FakeemoError(f"{info_file}: not of the same fit as {model}; delete both and run again")
    missing = [name for name in columns if name not in table]
    if missing or not columns:
        raise FakeemoError(f"{pb_table}: lacks {missing}, which {model} was fitted on; fit the model again")
    video_ids, video = np.unique(table["video_id"], return_inverse=True)
    x = _features(table, columns, pb_table)
    raw = probabilities(booster, x, starting_log_odds(linear, x, video)[video])
    scores, counts = calibration(mean_by_video(raw, video, len(video_ids))), np.bincount(video)
    # By itself a variant starts from what the slope says of it, and not of its video's mean.
    of_rows = calibration(probabilities(booster, x, starting_log_odds(linear, x, np.arange(len(x)))))
    return {
        str(name): VariantScores(Score(float(scores[k]), int(counts[k])), of_rows[video == k])
        for k, name in enumerate(video_ids)
    }


def choose_trees(losses: np.ndarray, subject: np.ndarray, rule: str) -> int:
    """Give the number of trees by ``rule``; see :class:`BoostingSettings`.

    ``losses`` ``(trees, videos)`` are each held-out video's after each tree, and ``subject`` ``(videos,)`` names who is
    seen in it.
    """
    best = int(losses.mean(axis=1).argmin())
    if rule == "least-loss":
        return best + 1
    behind = losses[: best + 1] - losses[best]
    by_subject = np.stack([behind[:, subject == name].sum(axis=1) for name in np.unique(subject)], axis=1)
    error = by_subject.std(axis=1, ddof=1) * np.sqrt(by_subject.shape[1]) / len(subject)
    return int(np.argmax(behind.mean(axis=1) <= error)) + 1


def check_folds(held_out: Sequence[np.ndarray], subject: np.ndarray) -> None:
    """Make sure that folds leak nothing: each video is held out once, and no subject stands on both sides.

    ``held_out`` marks, for each fold, the videos that it holds out, and ``subject`` names the subject of each video.
    All rows of a video stand where the video does, so its variants stand together too. Raises :class:`ValueError`,
    since this would be a fault of the program and not of the data.
    """
    if (np.sum(held_out, axis=0) != 1).any():
        raise ValueError("folds leak: a video is held out by no fold or by several")
    for out in held_out:
        shared = set(subject[out]) & set(subject[~out])
        if shared:
            raise ValueError(f"folds leak: subject '{min(shared)}' is held out and fitted on at the same time")


def _check_training(is_fake: np.ndarray, subject: np.ndarray, emotion: str) -> None:
    if len(set(is_fake)) < 2:
        n_fake = int(is_fake.sum())
        raise FakeemoError(
            f"{emotion}: the usable training videos are {len(is_fake) - n_fake} genuine and {n_fake} fake;"
            " both labels are needed: add training videos of this emotion or leave it out of the sample sheet"
        )
    if len(set(subject)) < 2:
        raise FakeemoError(
            f"{emotion}: all usable training videos are of subject '{subject[0]}'; folds need at least two:"
            " add videos of others"
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


def _as_json(linear: LinearModel) -> dict[str, Any]:
    return {
        "centre": linear.centre[ANY].tolist(),
        "scale": linear.scale.tolist(),
        "weights": linear.weights.tolist(),
        "penalty": linear.penalty,
        "log_loss": linear.log_loss,
    }


def _from_json(start: Mapping[str, Any] | None) -> LinearModel | None:
    if start is None:
        return None
    centre, scale, weights = (np.array(start[name], np.float64) for name in ("centre", "scale", "weights"))
    return LinearModel({ANY: centre}, scale, weights)


def _candidate_facts(candidate: BoostingSettings, fit: Sequence[Fit], curve: np.ndarray) -> dict[str, Any]:
    """Sum up what the folds say of one depth and rate at their best number of trees; log-losses are for each video."""
    n_trees = int(curve.argmin()) + 1
    return {
        "depth": candidate.depth,
        "rate": candidate.rate,
        "trees": n_trees,
        "log_loss": float(curve[n_trees - 1]),
        "log_loss_by_fold": [float(fold.losses[n_trees - 1].mean()) for fold in fit],
    }
