"""What LSTM-PB and boosting must beat: four simpler ways to judge the same videos.

Two start from the PB vectors that recognition mode found (section 2.3.3): the nearer class PB vector decides, or a
logistic regression (:mod:`fakeemo.linear`). The other two never see the network: statistics of facial activity, judged
directly or ranked by pairs (:mod:`fakeemo.activity`). Each is fitted to the training videos that the network of the
same protocol and fold was fitted to, and judges the same videos.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from fakeemo.activity import read_activity
from fakeemo.boosting import Score, feature_columns
from fakeemo.errors import FakeemoError
from fakeemo.evaluation import judge, write_predictions
from fakeemo.linear import Method, fit_linear, linear_scores, video_means
from fakeemo.tables import read_table


def write_baseline(
    baseline: str,
    tables: Sequence[str | Path],
    models: Sequence[Mapping[str, Any]],
    samples: Sequence[Mapping[str, str]],
    qc_table: str | Path,
    out: str | Path,
    *,
    pairing: str = "subject",
    faces: Mapping[str, str | Path] | None = None,
    seed: int = 0,
) -> None:
    """Write ``predictions.csv`` of one baseline.

    Args:
        baseline: ``nearest-pb``, ``logistic-pb``, ``direct`` or ``pairs``.
        tables: for the first two ``results/pb/{model}.parquet`` of each of ``models``, else one table of
            :func:`fakeemo.activity.write_activity` with all videos.
        models: what each network learned from and judges: ``emotion``, ``fold``, ``labels`` and ``subjects`` of its
            training videos by id, and ``judged`` ids.
        samples: rows of the sample sheet.
        qc_table: ``results/qc/videos.parquet``.
        out: the CSV file.
        pairing: see :func:`fakeemo.evaluation.judge`.
        faces: likewise.
        seed: of the folds that choose a penalty.
    """
    scores: dict[str, Score] = {}
    if baseline == "nearest-pb":
        for table, model in zip(tables, models, strict=True):
            scores |= _only(nearest_pb(table), model["judged"])
    elif baseline == "logistic-pb":
        for table, model in zip(tables, models, strict=True):
            found = logistic_pb(table, model["labels"], model["subjects"], emotion=model["emotion"], seed=seed)
            scores |= _only(found, model["judged"])
    elif baseline in get_args(Method):
        emotions = {sample["video_id"]: sample["emotion"] for sample in samples}
        scores = activity_scores(tables, models, emotions, method=cast(Method, baseline), seed=seed)
    else:
        raise FakeemoError(f"baseline '{baseline}' is unknown; choose from nearest-pb, logistic-pb, direct, pairs")
    write_predictions(out, judge(samples, scores, qc_table, pairing, faces))


def nearest_pb(pb_table: str | Path) -> dict[str, Score]:
    """Score every video of a PB table by the class PB vector that its own lie nearer to.

    A variant at distances g from the genuine and f from the fake class vector scores g / (g + f), which is above 0.5
    where fake is nearer; a video scores the mean of its variants.
    """
    table, _ = read_table(pb_table, ["video_id", "distance_genuine", "distance_fake"])
    genuine, fake = (table[f"distance_{label}"].astype(np.float64) for label in ("genuine", "fake"))
    # Where both class vectors and the video's own are one point, nothing speaks for either.
    share = np.divide(genuine, genuine + fake, out=np.full(len(genuine), 0.5), where=genuine + fake > 0)
    return _scores(*video_means(table["video_id"], share[:, None]))


def logistic_pb(
    pb_table: str | Path, labels: Mapping[str, str], subjects: Mapping[str, str], *, emotion: str, seed: int = 0
) -> dict[str, Score]:
    """Score every video of a PB table by a logistic regression on PB vectors, fitted to the videos in ``labels``.

    A video's PB vector is the mean over its variants. ``labels`` (genuine or fake) and ``subjects`` are by video id.
    """
    table, _ = read_table(pb_table)
    rows = np.column_stack([table[name] for name in feature_columns(list(table), ["pb"])])
    video_ids, x, counts = video_means(table["video_id"], rows)
    return _linear(video_ids, x, counts, labels, subjects, dict.fromkeys(video_ids, emotion), "direct", seed)


def activity_scores(
    tables: Sequence[str | Path],
    models: Sequence[Mapping[str, Any]],
    emotions: Mapping[str, str],
    *,
    method: Method,
    seed: int = 0,
) -> dict[str, Score]:
    """Score videos by their facial activity, with one model for all emotions of a fold.

    ``models`` are as in :func:`write_baseline`; ``emotions`` are by video id.
    """
    video_ids, x, counts = read_activity(tables)
    folds: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for model in models:
        folds[model["fold"]].append(model)
    scores: dict[str, Score] = {}
    for fold in folds.values():
        labels, subjects = ({k: v for model in fold for k, v in model[name].items()} for name in ("labels", "subjects"))
        judged = {video for model in fold for video in model["judged"]}
        use = np.array([name in labels or name in judged for name in video_ids], bool)
        found = _linear(video_ids[use], x[use], counts[use], labels, subjects, emotions, method, seed)
        scores |= _only(found, judged)
    return scores


def _linear(
    video_ids: np.ndarray,
    x: np.ndarray,
    counts: np.ndarray,
    labels: Mapping[str, str],
    subjects: Mapping[str, str],
    emotions: Mapping[str, str],
    method: Method,
    seed: int,
) -> dict[str, Score]:
    """Fit to those of the videos that have a label, and score all."""
    emotion = np.array([emotions[name] for name in video_ids])
    known = np.array([bool(labels.get(name)) for name in video_ids], bool)
    fitted = fit_linear(
        x[known],
        np.array([subjects[name] for name in video_ids[known]]),
        emotion[known],
        np.array([labels[name] == "fake" for name in video_ids[known]], bool),
        method=method,
        seed=seed,
        what=f"baseline {method}, {', '.join(sorted(set(emotion)))}",
    )
    return _scores(video_ids, linear_scores(x, emotion, fitted)[:, None], counts)


def _scores(video_ids: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> dict[str, Score]:
    return {str(name): Score(float(s), int(n)) for name, (s,), n in zip(video_ids, scores, counts, strict=True)}


def _only(scores: Mapping[str, Score], judged: Sequence[str] | set[str]) -> dict[str, Score]:
    """Keep the scores of ``judged`` videos."""
    wanted = set(judged)
    return {name: score for name, score in scores.items() if name in wanted}
