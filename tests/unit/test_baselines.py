"""Baselines on constructed data, whose answer is known."""

from statistics import NormalDist

import numpy as np
import pytest

from fakeemo.activity import NAMES
from fakeemo.baselines import activity_scores, logistic_pb, nearest_pb, write_baseline
from fakeemo.errors import FakeemoError
from fakeemo.evaluation import read_predictions, wilson
from fakeemo.tables import write_table


def write_pb(path, video_ids, pb, genuine=None, fake=None):
    distances = {
        f"distance_{label}": np.zeros(len(pb), np.float32) if values is None else np.float32(values)
        for label, values in (("genuine", genuine), ("fake", fake))
    }
    columns = {f"pb_{k}": pb[:, k].astype(np.float32) for k in range(pb.shape[1])}
    write_table(path, {"video_id": list(video_ids), **columns, **distances}, kind="pb")
    return path


def test_the_nearer_class_vector_decides(tmp_path):
    table = write_pb(
        tmp_path / "pb.parquet",
        ["a", "a", "b", "c", "d", "d"],
        np.zeros((6, 2)),
        genuine=[3, 1, 2, 0, 9, 1],
        fake=[1, 3, 1, 0, 1, 3],
    )
    scores = nearest_pb(table)
    assert {name: score.n_variants for name, score in scores.items()} == {"a": 2, "b": 1, "c": 1, "d": 2}
    assert scores["a"].score == pytest.approx(0.5)
    assert scores["b"].score == pytest.approx(2 / 3)
    assert scores["c"].score == 0.5
    assert scores["d"].score == pytest.approx((0.9 + 0.25) / 2)


class Gaussians:
    """Two videos, one of each label, of so many subjects; classes ``d`` standard deviations apart on PB number 1."""

    def __init__(self, folder, d, n_subjects=300, seed=0):
        rng = np.random.default_rng(seed)
        self.video_ids = [f"s{i:03d}_{label}" for i in range(n_subjects) for label in ("genuine", "fake")]
        self.labels = {name: name.split("_")[1] for name in self.video_ids}
        self.subjects = {name: name.split("_")[0] for name in self.video_ids}
        self.training = {name: label for name, label in self.labels.items() if int(self.subjects[name][1:]) < 100}
        self.pb = rng.normal(size=(2 * n_subjects, 4)) * [1, 1, 10, 0]
        self.pb[:, 1] += d * (np.arange(2 * n_subjects) % 2) + 7
        self.path = folder / "pb.parquet"

    def scores(self, pb=None, **changes):
        write_pb(self.path, self.video_ids, self.pb if pb is None else pb)
        fitted = {"labels": self.training, "subjects": self.subjects} | changes
        return logistic_pb(self.path, fitted["labels"], fitted["subjects"], emotion="anger")

    def right(self, scores):
        others = [name for name in self.video_ids if name not in self.training]
        return sum((scores[name].score > 0.5) == (self.labels[name] == "fake") for name in others), len(others)


@pytest.mark.parametrize("d", [0, 1, 3])
def test_logistic_regression_reaches_the_limit_of_two_normal_distributions(tmp_path, d):
    data = Gaussians(tmp_path, d)
    low, high = wilson(*data.right(data.scores()))
    assert low < NormalDist().cdf(d / 2) < high


def test_only_training_videos_enter_the_fit(tmp_path):
    data = Gaussians(tmp_path, 2)
    known = data.scores()
    others = np.array([name not in data.training for name in data.video_ids])
    changed = data.pb.copy()
    changed[others] = 5
    found = data.scores(changed)
    assert {name: found[name] for name in data.training} == {name: known[name] for name in data.training}
    unlabelled = data.labels | {name: "" for name in data.labels if name not in data.training}
    assert data.scores(labels=unlabelled) == known


def test_a_subject_that_tells_its_label_gains_nothing_on_others(tmp_path):
    # Each subject has one label and a signature: folds of subjects must find that this carries over to nobody.
    data = Gaussians(tmp_path, 0, n_subjects=200)
    rng = np.random.default_rng(1)
    signature = np.repeat(rng.normal(size=(200, 40)), 2, axis=0)
    data.labels = {name: ("genuine", "fake")[int(data.subjects[name][1:]) % 2] for name in data.video_ids}
    data.training = {name: data.labels[name] for name in data.training}
    low, high = wilson(*data.right(data.scores(signature)))
    assert low < 0.5 < high


def activity_table(path, activity, video_ids):
    """Write features that all are ``activity``, with a little noise."""
    rng = np.random.default_rng(2)
    columns = {name: np.float32(activity + 0.01 * rng.normal(size=len(activity))) for name in NAMES}
    write_table(path, {"video_id": list(video_ids), **columns}, kind="activity")
    return path


@pytest.mark.parametrize("method", ["direct", "pairs"])
def test_each_fold_is_judged_by_what_the_others_taught(tmp_path, method):
    # In fold A fakes are high, in fold B they are low: judged by the other fold, every video is judged wrongly.
    subjects = [f"{fold}{i}" for fold in "ab" for i in range(6)]
    video_ids = [f"{subject}_{label}" for subject in subjects for label in ("genuine", "fake")]
    labels = {name: name.split("_")[1] for name in video_ids}
    of_subject = {name: name.split("_")[0] for name in video_ids}
    high = np.array([(labels[name] == "fake") == (name[0] == "a") for name in video_ids])
    noise = np.random.default_rng(3).normal(size=len(video_ids)) * 0.1
    table = activity_table(tmp_path / "activity.parquet", np.where(high, 1, -1) + noise, video_ids)
    models = [
        {
            "emotion": "anger",
            "fold": fold,
            "labels": {name: label for name, label in labels.items() if name[0] != fold},
            "subjects": {name: of_subject[name] for name in video_ids if name[0] != fold},
            "judged": [name for name in video_ids if name[0] == fold],
        }
        for fold in "ab"
    ]
    scores = activity_scores([table], models, dict.fromkeys(video_ids, "anger"), method=method)
    assert sorted(scores) == sorted(video_ids)
    assert not any((score.score > 0.5) == (labels[name] == "fake") for name, score in scores.items())
    whole = [models[0] | {"labels": labels, "subjects": of_subject, "judged": video_ids}]
    assert activity_scores([table], whole, dict.fromkeys(video_ids, "anger"), method=method) != scores


@pytest.mark.parametrize("baseline", ["nearest-pb", "logistic-pb"])
def test_only_judged_videos_are_written(tmp_path, baseline):
    data = Gaussians(tmp_path, 3, n_subjects=110)
    is_fake = np.array([label == "fake" for label in data.labels.values()])
    write_pb(data.path, data.video_ids, data.pb, genuine=1 + is_fake, fake=2 - is_fake)
    judged = [name for name in data.video_ids if name not in data.training]
    samples = [
        {
            "video_id": name,
            "subject": data.subjects[name],
            "emotion": "anger",
            "label": data.labels[name],
            "split": "test",
        }
        for name in data.video_ids
    ]
    quality = tmp_path / "videos.parquet"
    write_table(quality, {"video_id": data.video_ids, "status": ["ok"] * len(samples)}, kind="quality")
    model = {"emotion": "anger", "fold": "", "labels": data.training, "subjects": data.subjects, "judged": judged}
    write_baseline(baseline, [data.path], [model], samples, quality, tmp_path / "predictions.csv")
    rows = read_predictions(tmp_path / "predictions.csv")
    assert {row.video_id for row in rows if row.score is not None} == set(judged)
    assert np.mean([row.predicted == row.label for row in rows if row.score is not None]) > 0.8


def test_faults_are_named(tmp_path):
    with pytest.raises(FakeemoError, match="baseline 'oracle' is unknown; choose from nearest-pb"):
        write_baseline("oracle", [], [], [], tmp_path / "videos.parquet", tmp_path / "out.csv")
    data = Gaussians(tmp_path, 3, n_subjects=4)
    genuine = {name: label for name, label in data.labels.items() if label == "genuine"}
    with pytest.raises(
        FakeemoError, match="baseline direct, anger: the usable training videos of anger have one label"
    ):
        data.scores(labels=genuine)
