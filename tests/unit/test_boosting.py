import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import xgboost as xgb
from pb_toy import SETTINGS, Toy, truth
from sklearn.metrics import log_loss, roc_auc_score

from fakeemo.boosted_trees import rows_of
from fakeemo.boosting import (
    choose_trees,
    feature_columns,
    predict_scores,
    predict_variants,
    subject_folds,
)
from fakeemo.calibration import Calibration, read_calibration
from fakeemo.errors import FakeemoError
from fakeemo.evaluation import wilson

GPU = xgb.build_info().get("USE_CUDA") and os.path.exists("/dev/nvidia0")


def test_separable_classes_are_learned_and_carry_over_to_new_subjects(tmp_path):
    toy = Toy(tmp_path, n_subjects=30)
    training = {v: label for v, label in toy.labels.items() if int(toy.subjects[v][1:]) < 20}
    _, info = toy.fit(labels=training)
    assert info["log_loss"] < 0.35
    scores = predict_scores(tmp_path / "pb.parquet", tmp_path / "boosting.ubj")
    new = [v for v in toy.video_ids if v not in training]
    assert roc_auc_score([toy.labels[v] == "fake" for v in new], [scores[v].score for v in new]) > 0.95


def test_noise_is_not_recognised(tmp_path):
    toy = Toy(tmp_path, effect=0.0, n_subjects=30, n_pb=20)
    _, info = toy.fit()
    is_fake, scores = truth(toy, info)
    assert info["log_loss"] > 0.6
    low, high = wilson(int(((scores > 0.5) == is_fake).sum()), len(is_fake))
    assert low < 0.5 < high


@pytest.fixture
def oblique(tmp_path):
    """Classes that differ a little in each of 16 numbers, which no split along one of them sees."""
    toy = Toy(tmp_path, n_subjects=40, n_videos=4, effect=0.0, n_pb=16)
    is_fake = np.array([toy.labels[v] == "fake" for v in toy.rows])
    toy.pb = toy.pb + np.where(is_fake, 0.35, -0.35)[:, None].astype(np.float32)
    return toy


def test_trees_that_start_from_a_slope_do_better_where_the_classes_lie_along_one(oblique):
    training = {v: label for v, label in oblique.labels.items() if int(oblique.subjects[v][1:]) < 20}
    new = [v for v in oblique.video_ids if v not in training]
    losses, right = {}, {}
    for start in ("even", "linear"):
        _, info = oblique.fit(labels=training, settings=replace(SETTINGS, start=start))
        scores = predict_scores(oblique.folder / "pb.parquet", oblique.folder / "boosting.ubj")
        losses[start] = info["log_loss"]
        right[start] = np.mean([(scores[v].score > 0.5) == (oblique.labels[v] == "fake") for v in new])
        assert (info["start"] is None) == (start == "even")
    assert losses["linear"] < losses["even"]
    assert right["linear"] > right["even"]


@pytest.mark.parametrize("start", ["even", "linear"])
def test_a_variant_is_scored_as_if_it_were_a_video_of_its_own(oblique, start):
    oblique.pb = oblique.pb + np.random.default_rng(1).normal(size=oblique.pb.shape).astype(np.float32)
    oblique.fit(settings=replace(SETTINGS, start=start))
    model = oblique.folder / "boosting.ubj"
    found = predict_variants(oblique.folder / "pb.parquet", model)
    alone = predict_scores(
        oblique.table(rows=[f"r{i:04d}" for i in range(len(oblique.rows))], name="own.parquet"), model
    )
    variants = np.concatenate([found[video].variants for video in oblique.video_ids])
    assert variants == pytest.approx([alone[row].score for row in sorted(alone)])


def test_the_slope_of_a_fold_knows_nothing_of_its_held_out_videos(oblique):
    shuffled = np.random.default_rng(3).permutation(list(oblique.labels.values()))
    oblique.labels = dict(zip(oblique.labels, shuffled.tolist(), strict=True))
    _, info = oblique.fit(settings=replace(SETTINGS, start="linear"))
    is_fake, scores = truth(oblique, info)
    low, high = wilson(int(((scores > 0.5) == is_fake).sum()), len(is_fake))
    assert low < 0.5 < high


def test_the_number_of_trees_has_the_least_loss_of_scores_out_of_fold(tmp_path):
    toy = Toy(tmp_path, effect=1.5)
    _, info = toy.fit()
    curve = info["log_loss_by_trees"]
    assert len(curve) == SETTINGS.trees
    assert 1 < info["trees"] < SETTINGS.trees  # an inner minimum, so that the choice is put to the test
    assert info["trees"] == 1 + int(np.argmin(curve))
    is_fake, scores = truth(toy, info)
    assert info["log_loss"] == pytest.approx(log_loss(is_fake, scores), abs=1e-5)
    assert info["log_loss"] == pytest.approx(
        sum(fold["log_loss"] * fold["n_videos"] for fold in info["folds"]) / len(toy.video_ids)
    )
    assert xgb.Booster(model_file=tmp_path / "boosting.ubj").num_boosted_rounds() == info["trees"]


def test_one_standard_error_takes_the_fewest_trees_that_are_not_clearly_worse():
    # Two videos of each of four subjects; the third tree is best by 0.05 on average, the second by 0.01 only.
    subject = np.repeat(list("abcd"), 2)
    behind = np.array([[0.05, 0.04, 0.06, 0.05], [0.05, -0.03, 0.04, -0.02], [0, 0, 0, 0], [0.01, 0.01, 0.01, 0.01]])
    losses = 0.5 + np.repeat(behind, 2, axis=1)
    error = behind[1].std(ddof=1) / 2  # of a mean over four subjects, who are two videos each
    assert behind[1].mean() < error
    assert choose_trees(losses, subject, "least-loss") == 3
    assert choose_trees(losses, subject, "one-standard-error") == 2
    surely = losses + np.array([0, error, 0, 0])[:, None]
    assert choose_trees(surely, subject, "one-standard-error") == 3
    # Eight subjects would be as sure of less.
    assert choose_trees(losses, np.array(list("abcdefgh")), "one-standard-error") == 2
    assert choose_trees(np.hstack([losses] * 8), np.arange(64), "one-standard-error") == 3


def test_by_one_standard_error_a_model_has_fewer_trees_at_hardly_more_loss(tmp_path):
    toy = Toy(tmp_path, effect=1.5)
    _, least = toy.fit()
    _, fewer = toy.fit(settings=replace(SETTINGS, rule="one-standard-error"))
    assert fewer["trees"] < least["trees"]
    assert least["log_loss"] < fewer["log_loss"] < least["log_loss"] + 0.05
    assert fewer["log_loss"] == pytest.approx(fewer["log_loss_by_trees"][fewer["trees"] - 1], abs=1e-6)


def test_a_subject_never_stands_on_both_sides_of_a_fold(tmp_path):
    # Each subject has one label only, and features by which it is known. Folds of videos would know the subject from
    # training and score perfectly; folds of subjects must guess.
    toy = Toy(tmp_path, n_subjects=24, effect=0.0, n_pb=16)
    rng = np.random.default_rng(1)
    toy.labels = {v: ("genuine", "fake")[int(s[1:]) % 2] for v, s in toy.subjects.items()}
    signature = {s: rng.normal(size=16).astype(np.float32) for s in sorted(set(toy.subjects.values()))}
    pb = np.stack([signature[toy.subjects[v]] for v in toy.rows])
    _, info = toy.fit(table=toy.table(pb=pb))
    is_fake, scores = truth(toy, info)
    assert roc_auc_score(is_fake, scores) < 0.75
    in_folds = [subject for fold in info["folds"] for subject in fold["subjects"]]
    assert sorted(in_folds) == sorted(signature)


def test_permuted_labels_leave_nothing_to_learn(tmp_path):
    # Many near-copies of each video: were a variant to straddle a fold, its label would be read off the copies.
    toy = Toy(tmp_path, effect=6.0, n_variants=10, n_subjects=25)
    shuffled = np.random.default_rng(3).permutation(list(toy.labels.values()))
    toy.labels = dict(zip(toy.labels, shuffled.tolist(), strict=True))
    _, info = toy.fit()
    is_fake, scores = truth(toy, info)
    low, high = wilson(int(((scores > 0.5) == is_fake).sum()), len(is_fake))
    assert low < 0.5 < high


def test_rows_of_other_videos_do_not_enter_the_fit(tmp_path):
    toy = Toy(tmp_path, effect=1.0)
    training = {v: label for v, label in toy.labels.items() if int(toy.subjects[v][1:]) < 12}
    model, info = toy.fit(labels=training)
    pb = toy.pb.copy()
    others = ~np.isin(toy.rows, list(training))
    pb[others] = 100 * np.random.default_rng(5).normal(size=(others.sum(), pb.shape[1]))
    assert toy.fit(table=toy.table(pb=pb), labels=training) == (model, info)
    without = toy.table(pb=toy.pb[~others], rows=toy.rows[~others])
    assert toy.fit(table=without, labels=training) == (model, info)
    # An unlabelled training video is one of the others; a labelled one without rows is left out.
    some = {v: label if k % 3 else "" for k, (v, label) in enumerate(training.items())}
    fitted = toy.fit(labels=some)
    assert set(fitted[1]["out_of_fold"]) == {v for v, label in some.items() if label}
    assert toy.fit(labels={**training, "nowhere": "fake"}) == (model, info)


@pytest.mark.parametrize("n_subjects", [2, 3, 5, 6, 11, 40])
def test_folds_split_the_subjects(n_subjects):
    subjects = [f"s{i}" for i in range(n_subjects)] * 3
    folds = subject_folds(subjects, seed=0)
    assert len(folds) == min(5, n_subjects)
    assert sorted(subject for fold in folds for subject in fold) == sorted(set(subjects))
    sizes = [len(fold) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    assert folds == subject_folds(reversed(subjects), seed=0)


def test_each_video_weighs_the_same_whatever_its_number_of_variants():
    video = np.repeat([0, 1, 2], [1, 4, 10])
    rows = rows_of(np.zeros((15, 2), np.float32), video, np.array([True, False, True]))
    assert np.bincount(rows.video, rows.weight)[[0, 2]] == pytest.approx([5.5, 5.5])
    assert rows.weight.mean() == pytest.approx(1)


def test_the_same_model_whatever_threads_and_cores(tmp_path):
    toy = Toy(tmp_path, effect=1.0, n_subjects=10)
    settings = replace(SETTINGS, trees=30)
    model, info = toy.fit(settings=settings)
    again, info_again = toy.fit(settings=replace(settings, threads=4))
    assert again == model
    assert info_again == {**info, "settings": {**info["settings"], "threads": 4}}

    script = (
        "import os, sys, json\n"
        "if hasattr(os, 'sched_setaffinity'): os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from fakeemo.boosted_trees import *\n"
        "from fakeemo.boosting import *\n"
        "labels, subjects, settings = json.load(sys.stdin)\n"
        "fit_boosting(sys.argv[1], labels, subjects, sys.argv[2], sys.argv[3], emotion='anger',"
        " settings=BoostingSettings(**settings))"
    )
    subprocess.run(
        [sys.executable, "-c", script, tmp_path / "pb.parquet", tmp_path / "b.ubj", tmp_path / "b.json"],
        input=json.dumps([toy.labels, toy.subjects, info["settings"]]),
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
    )
    assert hashlib.sha256((tmp_path / "b.ubj").read_bytes()).digest() == hashlib.sha256(model).digest()
    assert json.loads((tmp_path / "b.json").read_text()) == info


def test_a_score_is_the_calibrated_mean_over_the_variants_and_survives_the_file(tmp_path):
    toy = Toy(tmp_path, n_subjects=6)
    keep = np.ones(len(toy.rows), bool)
    keep[0] = False  # the first video has two variants, the others three
    table = toy.table(pb=toy.pb[keep], rows=toy.rows[keep])
    _, info = toy.fit(table=table)
    calibration = read_calibration(info)
    scores = predict_scores(table, tmp_path / "boosting.ubj")
    assert list(scores) == toy.video_ids
    booster = xgb.Booster(model_file=tmp_path / "boosting.ubj")
    rows = booster.predict(xgb.DMatrix(toy.pb[keep], feature_names=booster.feature_names))
    for video_id, score in scores.items():
        own = rows[toy.rows[keep] == video_id]
        assert score.score == pytest.approx(calibration(own.mean()), abs=1e-6)
        assert score.n_variants == len(own) == (2 if video_id == "v000" else 3)


def test_scores_are_calibrated_by_what_the_file_says_and_keep_their_order(tmp_path):
    toy = Toy(tmp_path, effect=1.5)
    _, info = toy.fit()
    is_fake, raw = truth(toy, info)
    calibration = read_calibration(info)
    assert calibration != Calibration()
    assert info["calibration"]["log_loss"] == pytest.approx(log_loss(is_fake, calibration(raw)), abs=1e-5)
    scores = predict_scores(tmp_path / "pb.parquet", tmp_path / "boosting.ubj")
    file = tmp_path / "boosting.json"
    file.write_text(json.dumps(info | {"calibration": {"slope": 1, "intercept": 0}}))
    uncalibrated = predict_scores(tmp_path / "pb.parquet", tmp_path / "boosting.ubj")
    before, after = (np.array([s.score for s in found.values()]) for found in (uncalibrated, scores))
    assert after == pytest.approx(calibration(before))
    assert (np.diff(after[np.argsort(before, kind="stable")]) >= 0).all()
    assert len(set(after)) == len(set(before))

    for damaged in (json.dumps(info | {"trees": info["trees"] + 1}), "not JSON", json.dumps({"kind": "boosting"})):
        file.write_text(damaged)
        with pytest.raises(FakeemoError, match=r"boosting\.json: (not of the same fit as|no calibration of) .*again"):
            predict_scores(tmp_path / "pb.parquet", tmp_path / "boosting.ubj")


def test_one_grid_one_criterion_and_the_fold_scores_of_every_candidate(tmp_path):
    toy = Toy(tmp_path, effect=1.5, n_subjects=10)
    settings = replace(SETTINGS, trees=30, depth=[1, 3], rate=(0.05, 0.4))
    model, info = toy.fit(settings=settings)
    found = {(c["depth"], c["rate"]): c for c in info["candidates"]}
    assert list(found) == [(1, 0.05), (1, 0.4), (3, 0.05), (3, 0.4)]
    chosen = min(info["candidates"], key=lambda c: c["log_loss"])
    assert {name: info[name] for name in ("depth", "rate", "trees", "log_loss")} == {
        name: chosen[name] for name in ("depth", "rate", "trees", "log_loss")
    }
    sizes = [fold["n_videos"] for fold in info["folds"]]
    for (depth, rate), candidate in found.items():
        assert np.average(candidate["log_loss_by_fold"], weights=sizes) == pytest.approx(candidate["log_loss"])
        # A candidate's figures are those of a fit in which it stands alone.
        _, alone = toy.fit(settings=replace(settings, depth=depth, rate=rate))
        assert alone["candidates"] == [candidate]
        assert [fold["subjects"] for fold in alone["folds"]] == [fold["subjects"] for fold in info["folds"]]
    assert toy.fit(settings=replace(settings, depth=info["depth"], rate=info["rate"]))[0] == model


@pytest.mark.skipif(not GPU, reason="no GPU that XGBoost can use")
@pytest.mark.parametrize("start", ["even", "linear"])
def test_a_gpu_finds_the_trees_of_the_cpu(oblique, start):
    settings = replace(SETTINGS, start=start, subsample=1.0)  # each device draws its own rows
    scores, losses = {}, {}
    for device in ("cpu", "cuda"):
        model, info = oblique.fit(settings=replace(settings, device=device))
        losses[device] = info["log_loss"]
        found = predict_scores(oblique.folder / "pb.parquet", oblique.folder / "boosting.ubj")
        scores[device] = [found[video].score for video in oblique.video_ids]
    assert losses["cuda"] == pytest.approx(losses["cpu"], abs=0.01)
    assert scores["cuda"] == pytest.approx(scores["cpu"], abs=0.1)
    assert oblique.fit(settings=replace(settings, device="cuda"))[0] == model  # byte for byte


@pytest.mark.skipif(GPU, reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_not_replaced_in_silence(tmp_path):
    toy = Toy(tmp_path, n_subjects=4)
    with pytest.raises(FakeemoError, match=r"boosting\.device is 'cuda'"):
        toy.fit(settings=replace(SETTINGS, trees=3, device="cuda"))
    assert not (tmp_path / "boosting.ubj").exists()


def test_features_by_choice():
    available = ["video_id", "variant", "pb_1", "pb_0", "error", "error_genuine", "error_fake", "distance_genuine"]
    assert feature_columns(available, ["pb"]) == ["pb_0", "pb_1"]
    assert feature_columns(available, ["errors", "pb"]) == ["error", "error_genuine", "error_fake", "pb_0", "pb_1"]
    with pytest.raises(FakeemoError, match="'pbs' is unknown; choose from pb, errors, distances"):
        feature_columns(available, ["pbs"])
    with pytest.raises(FakeemoError, match="distance_fake"):
        feature_columns(available, ["distances"])
    with pytest.raises(FakeemoError, match="no column"):
        feature_columns(["video_id"], ["pb"])


def test_what_cannot_be_fitted_ends_in_one_line_and_leaves_no_file(tmp_path):
    toy = Toy(tmp_path, n_subjects=4)
    table = toy.table()

    def message(**changes):
        with pytest.raises(FakeemoError) as caught:
            toy.fit(table=table, **changes)
        assert not (tmp_path / "boosting.ubj").exists()
        assert not (tmp_path / "boosting.json").exists()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "8 genuine and 0 fake" in message(labels={v: "genuine" for v in toy.video_ids[::2]})
    assert "0 genuine and 0 fake" in message(labels={})
    assert "subject 's0'" in message(labels={v: toy.labels[v] for v in toy.video_ids if toy.subjects[v] == "s0"})
    toy.pb[5, 2] = np.nan
    table = toy.table()
    assert "video 'v001'" in message()


def test_a_model_that_does_not_fit_ends_in_one_line(tmp_path):
    toy = Toy(tmp_path, n_subjects=4)
    toy.fit()
    narrow = toy.table(pb=toy.pb[:, :3], name="narrow.parquet")
    with pytest.raises(FakeemoError, match=r"narrow.*lacks \['pb_3', 'pb_4', 'pb_5'\]"):
        predict_scores(narrow, tmp_path / "boosting.ubj")
    (tmp_path / "broken.ubj").write_bytes(b"not a model")
    with pytest.raises(FakeemoError, match=r"broken\.ubj: not a boosting model"):
        predict_scores(tmp_path / "pb.parquet", tmp_path / "broken.ubj")
    with pytest.raises(FakeemoError, match=r"absent\.ubj: not a boosting model"):
        predict_scores(tmp_path / "pb.parquet", tmp_path / "absent.ubj")
