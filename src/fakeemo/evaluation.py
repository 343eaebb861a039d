"""From scores to predictions, accuracies with intervals, and ROC curves (section 4).

A score is the calibrated probability of fake; above 0.5 the video is called fake. ``results/predictions.csv`` has one
row for each video of the sample sheet, used or not, and every figure of ``results/metrics.json`` is computed from it.
"""

import csv
import json
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fakeemo.boosting import Score, predict_scores
from fakeemo.errors import FakeemoError
from fakeemo.evidence import N_DRAWS, auc_interval, permutation_test, reliability
from fakeemo.files import replacing
from fakeemo.pairing import PRESUMES, Pair, pairs_by_faces, pairs_by_subject
from fakeemo.samples import CHALLENGE, CROSS_VALIDATED, LABELS, SPLITS
from fakeemo.tables import read_table, software

METRICS_VERSION = 2
_Z95 = 1.959963984540054  # 97.5 % point of the standard normal distribution
_ALPHA = 0.05  # a difference is called shown where the p value is no higher


class Prediction(NamedTuple):
    """Hold one row of ``predictions.csv``. What is unknown or not decided is None (an empty cell in the file)."""

    video_id: str
    subject: str
    emotion: str
    split: str
    label: str
    score: float | None
    predicted: str | None
    predicted_paired: str | None
    n_variants: int
    status: str
    paired_with: str | None = None  # the other video of its pair


class Comparison(NamedTuple):
    """Hold what :func:`mcnemar` finds: ``n`` videos, of which one method alone is right, and the p value.

    ``verdict`` is first or second (the better method), open (no difference shown), or undecidable (no outcome of so
    few videos that the methods judge differently could have shown one); ``sentence`` says it in words.
    """

    n: int
    only_first: int
    only_second: int
    p: float
    verdict: str
    sentence: str


def mcnemar(correct_a: Sequence[bool] | np.ndarray, correct_b: Sequence[bool] | np.ndarray) -> Comparison:
    """Compare two methods on the same videos by McNemar's (1947) test, exact and two-sided.

    Only videos that one method judges rightly and the other wrongly tell the two apart; were the methods equally
    good, each such video would be a toss of a coin.

    Args:
        correct_a: (videos,), whether the first method judged each rightly.
        correct_b: (videos,), the same of the second, in the same order.

    Raises:
        ValueError: if the two are not of one length.
    """
    first, second = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"correct_a {first.shape} and correct_b {second.shape} must be of the same videos")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    discordant = only_first + only_second
    tail = sum(math.comb(discordant, k) for k in range(min(only_first, only_second) + 1))
    p = min(1.0, 2 * tail / 2**discordant)
    counts = f"of {len(first)} videos, {only_first} are judged rightly by the first alone, {only_second} by the second"
    if 2 / 2**discordant > _ALPHA:
        verdict, end = "undecidable", "so few cannot decide, however they fall"
    elif p > _ALPHA:
        verdict, end = "open", f"this does not decide which is better (p = {p:.2g})"
    else:
        verdict = "first" if only_first > only_second else "second"
        end = f"the {verdict} is better (p = {p:.2g})"
    return Comparison(len(first), only_first, only_second, p, verdict, f"{counts}: {end}")


def wilson(correct: float, n: int) -> tuple[float, float]:
    """Give the 95 % interval of Wilson (1927) for a share of ``correct`` out of ``n``; (0, 1) if ``n`` is 0."""
    if n == 0:
        return 0.0, 1.0
    share = correct / n
    z2 = _Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At no or all correct the limit is 0 or 1 exactly, which floating point may miss.
    return (0.0 if correct == 0 else centre - half), (1.0 if correct == n else centre + half)


def roc_curve(is_fake: Sequence[bool] | np.ndarray, scores: Sequence[float] | np.ndarray) -> np.ndarray:
    """Give the ROC curve as rows of (false positive rate, true positive rate, threshold), from (0, 0) to (1, 1).

    Fake is the positive class; a video is called fake if its score is at least the threshold. Equal scores make one
    step. A rate is NaN where its class has no video.
    """
    is_fake, scores = np.asarray(is_fake, bool), np.asarray(scores, float)
    order = np.argsort(-scores, kind="stable")
    is_fake, scores = is_fake[order], scores[order]
    last_of_ties = np.flatnonzero(np.diff(scores, append=-np.inf))
    true_positives = np.cumsum(is_fake)[last_of_ties]
    false_positives = 1 + last_of_ties - true_positives
    with np.errstate(invalid="ignore"):
        rates = np.stack([false_positives / (~is_fake).sum(), true_positives / is_fake.sum()], axis=1)
    curve = np.column_stack([rates, scores[last_of_ties]])
    return np.vstack([[0.0, 0.0, np.inf], curve])


def auc(is_fake: Sequence[bool] | np.ndarray, scores: Sequence[float] | np.ndarray) -> float:
    """Give the chance that a fake video scores above a genuine one, ties counting half; NaN without both classes.

    This is the area under the ROC curve (Hanley & McNeil, 1982), computed from ranks.
    """
    is_fake, scores = np.asarray(is_fake, bool), np.asarray(scores, float)
    n_fake, n_genuine = int(is_fake.sum()), int((~is_fake).sum())
    if n_fake == 0 or n_genuine == 0:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mid_ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((mid_ranks[is_fake].sum() - n_fake * (n_fake + 1) / 2) / (n_fake * n_genuine))


def predictions(
    samples: Sequence[Mapping[str, str]],
    scores: Mapping[str, Score],
    statuses: Mapping[str, str],
    pairs: Sequence[Pair] | None = None,
) -> list[Prediction]:
    """Give one row for each of ``samples`` (rows of the sample sheet), in their order.

    ``scores`` and ``statuses`` are by video id. A video whose status is "ok" but that has no score gets the status
    ``not_scored``. ``predicted_paired`` presumes that one of the two videos of a pair is fake, and calls the one with
    the higher score so; it stays empty where the two scores are equal. ``pairs`` are by subject unless given.

    Raises :class:`FakeemoError` if a video has no status, or is excluded and yet has a score.
    """
    pairs = pairs_by_subject(samples, scores) if pairs is None else pairs
    other = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    paired: dict[str, str] = {}
    for pair in pairs:
        genuine, fake = sorted(pair, key=lambda name: _round(scores[name].score))
        if _round(scores[genuine].score) < _round(scores[fake].score):
            paired |= {genuine: "genuine", fake: "fake"}

    rows = []
    for sample in samples:
        video_id = sample["video_id"]
        status = statuses.get(video_id)
        if status is None:
            raise FakeemoError(
                f"video '{video_id}' of the sample sheet is not in the quality table; run that step again"
            )
        found = scores.get(video_id)
        if found is not None and status != "ok":
            raise FakeemoError(
                f"video '{video_id}' has a score, but its status is '{status}'; the PB table is out of date: run again"
            )
        if found is None and status == "ok":
            status = "not_scored"
        score = None if found is None else _round(found.score)
        rows.append(
            Prediction(
                video_id,
                sample["subject"],
                sample["emotion"],
                sample["split"],
                sample["label"],
                score,
                None if score is None else "fake" if score > 0.5 else "genuine",
                paired.get(video_id),
                0 if found is None else found.n_variants,
                status,
                other.get(video_id),
            )
        )
    return rows


def judge(
    samples: Sequence[Mapping[str, str]],
    scores: Mapping[str, Score],
    qc_table: str | Path,
    pairing: str = "subject",
    faces: Mapping[str, str | Path] | None = None,
) -> list[Prediction]:
    """Give :func:`predictions` with the statuses of the quality table ``results/qc/videos.parquet``.

    With ``pairing`` faces, ``faces`` are the pictures of the videos outside training, by id.
    """
    quality, _ = read_table(qc_table, ["video_id", "status"])
    statuses = dict(zip(quality["video_id"], quality["status"], strict=True))
    pairs = pairs_by_faces(samples, scores, faces or {}) if pairing == "faces" else None
    return predictions(samples, scores, statuses, pairs)


def write_predictions(path: str | Path, rows: Sequence[Prediction]) -> None:
    """Write ``rows`` as a CSV file with a header line."""
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Prediction._fields)
        writer.writerows(["" if cell is None else cell for cell in row] for row in rows)


def read_predictions(path: str | Path) -> list[Prediction]:
    """Read what :func:`write_predictions` wrote."""
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != Prediction._fields:
            raise FakeemoError(f"{path}: its columns are not {', '.join(Prediction._fields)}; delete it and run again")
        return [
            Prediction(
                row["video_id"],
                row["subject"],
                row["emotion"],
                row["split"],
                row["label"],
                float(row["score"]) if row["score"] else None,
                row["predicted"] or None,
                row["predicted_paired"] or None,
                int(row["n_variants"]),
                row["status"],
                row["paired_with"] or None,
            )
            for row in reader
        ]


def metrics(rows: Sequence[Prediction], protocol: str = CHALLENGE, pairing: str = "subject") -> dict[str, Any]:
    """Sum ``rows`` up: for each split, overall and for each emotion, what :func:`_summary` gives.

    ``protocol`` says in words how training and judged videos were kept apart, and ``pairing`` what the rows' pairs
    were found by, subject or faces. The training split is marked ``"fitted_on": true``: its accuracy says how well the
    model fits, not how well it recognises.
    """
    emotions = list(dict.fromkeys(row.emotion for row in rows))
    splits = {}
    for split in (*SPLITS, CROSS_VALIDATED):
        here = [row for row in rows if row.split == split]
        if here:
            by_emotion = {name: [row for row in here if row.emotion == name] for name in emotions}
            splits[split] = {
                "fitted_on": split == "train",
                "overall": _summary(here),
                "emotions": {name: _summary(part) for name, part in by_emotion.items() if part},
            }
    return {
        "kind": "metrics",
        "schema_version": METRICS_VERSION,
        "protocol": protocol,
        "pairing": {"by": pairing, "presumes": PRESUMES[pairing]},
        "splits": splits,
        "excluded": dict(sorted(Counter(row.status for row in rows if row.status != "ok").items())),
        "software": software("numpy", "scipy", "xgboost", *(("pulp", "scikit-image") if pairing == "faces" else ())),
    }


def evaluate(
    pb_tables: Sequence[str | Path],
    boosting_models: Sequence[str | Path],
    samples: Sequence[Mapping[str, str]],
    qc_table: str | Path,
    predictions_out: str | Path,
    metrics_out: str | Path,
    *,
    judged: Sequence[Collection[str]] | None = None,
    protocol: str = CHALLENGE,
    pairing: str = "subject",
    faces: Mapping[str, str | Path] | None = None,
) -> None:
    """Score all videos and write ``predictions.csv`` and ``metrics.json``.

    ``pb_tables`` and ``boosting_models`` are of one emotion each, in the same order, and so are ``judged``, the ids of
    the videos that a model may judge (all of its table where not given): in cross-validation each of several models
    of one emotion judges the subjects that it has not seen. ``samples`` are the rows of the sample sheet, with at
    least ``video_id``, ``subject``, ``emotion``, ``label`` and ``split``; ``protocol`` see :func:`metrics`,
    ``pairing`` and ``faces`` see :func:`judge`. Raises :class:`FakeemoError` if a table holds a video that the sample
    sheet or the quality table does not, or two models judge the same video.
    """
    known = {sample["video_id"] for sample in samples}
    scores: dict[str, Score] = {}
    for k, (pb_table, model) in enumerate(zip(pb_tables, boosting_models, strict=True)):
        found = predict_scores(pb_table, model)
        mine = {name: score for name, score in found.items() if judged is None or name in judged[k]}
        for video_id in found:
            if video_id not in known or (video_id in mine and video_id in scores):
                problem = "is not in the sample sheet" if video_id not in known else "is in two PB tables"
                raise FakeemoError(f"{pb_table}: video '{video_id}' {problem}; delete the table and run again")
        scores |= mine
    rows = judge(samples, scores, qc_table, pairing, faces)
    write_predictions(predictions_out, rows)
    found = metrics(rows, protocol, pairing)
    with replacing(metrics_out) as temporary:
        temporary.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _summary(rows: Sequence[Prediction]) -> dict[str, Any]:
    """Count ``rows``, and measure those that have both a label and a score; what cannot be measured is None.

    ``confusion[label][predicted]`` are counts. ``auc_interval`` comes from ``n_draws`` draws of the ``n_subjects``
    subjects (:func:`fakeemo.evidence.auc_interval`), ``permutation`` tests against chance, ``calibration`` says how far
    scores can be believed. ``paired`` counts pairs, since the two calls of a pair are one decision; a pair of equal
    scores or of equal labels counts as half right.
    """
    measured = [row for row in rows if row.label and row.score is not None]
    confusion = {label: {called: 0 for called in LABELS} for label in LABELS}
    for row in measured:
        confusion[row.label][str(row.predicted)] += 1
    n = len(measured)
    correct = sum(confusion[label][label] for label in LABELS)
    recalls = [
        confusion[label][label] / sum(confusion[label].values()) for label in LABELS if any(confusion[label].values())
    ]
    return {
        "n_videos": len(rows),
        "n_excluded": sum(row.score is None for row in rows),
        "n_unlabelled": sum(not row.label for row in rows),
        "n": n,
        "correct": correct,
        "accuracy": correct / n if n else None,
        "interval": list(wilson(correct, n)) if n else None,
        "balanced_accuracy": sum(recalls) / 2 if len(recalls) == 2 else None,
        "confusion": confusion,
        **_evidence(measured),
        "paired": _paired_summary([row for row in rows if row.score is not None]),
    }


def _evidence(rows: Sequence[Prediction]) -> dict[str, Any]:
    if not rows:
        return dict.fromkeys(("auc", "auc_interval", "n_subjects", "n_draws", "permutation", "calibration"))
    is_fake = np.array([row.label == "fake" for row in rows])
    scores = np.array([float(row.score or 0) for row in rows])
    # Of an unknown subject nothing else is known either: each such video is one of its own.
    subjects = [row.subject or f"\t{row.video_id}" for row in rows]
    called_fake = np.array([row.predicted == "fake" for row in rows])
    area = auc(is_fake, scores)
    return {
        "auc": None if math.isnan(area) else area,
        "auc_interval": auc_interval(is_fake, scores, subjects),
        "n_subjects": len(set(subjects)),
        "n_draws": N_DRAWS,
        "permutation": permutation_test(is_fake, called_fake, subjects, [row.emotion for row in rows])._asdict(),
        "calibration": reliability(is_fake, scores),
    }


def _paired_summary(rows: Sequence[Prediction]) -> dict[str, Any]:
    by_id = {row.video_id: row for row in rows}
    pairs = [(row, by_id[row.paired_with]) for row in rows if row.paired_with in by_id]
    # Each pair stands there twice, once from either side.
    found = [(a, b) for a, b in pairs if a.video_id < b.video_id and a.label and b.label]
    n_tied = sum(a.predicted_paired is None for a, _ in found)
    right = sum(
        1.0 if a.predicted_paired is None else (a.predicted_paired == a.label) + (b.predicted_paired == b.label)
        for a, b in found
    )
    correct = right / 2
    return {
        "n_pairs": len(found),
        "n_tied": n_tied,
        "n_same_label": sum(a.label == b.label for a, b in found),
        "correct": correct,
        "accuracy": correct / len(found) if found else None,
        "interval": list(wilson(correct, len(found))) if found else None,
    }


def _round(score: float) -> float:
    """Round to what the file holds, so that what is computed here and from the file is the same."""
    return round(score, 6)
