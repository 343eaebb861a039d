import numpy as np
import pytest
from scipy.stats import permutation_test as monte_carlo
from sklearn.metrics import brier_score_loss, log_loss

from fakeemo.evaluation import auc
from fakeemo.evidence import auc_interval, permutation_test, reliability


def people(rng, n_subjects, per_subject=4, effect=1.0, of_subject=0.0):
    """Draw labels, scores and subjects; ``of_subject`` is the SD of what a subject's scores have in common."""
    is_fake = np.tile(np.arange(per_subject) % 2 == 1, n_subjects)
    subjects = np.repeat([f"s{k}" for k in range(n_subjects)], per_subject)
    common = np.repeat(rng.normal(0, of_subject, n_subjects), per_subject)
    return is_fake, rng.normal(size=len(is_fake)) + effect * is_fake + common, subjects.tolist()


def test_the_bootstrap_draws_subjects_with_all_their_videos():
    """Against the plain way: draw subjects one by one, and put their videos together."""
    rng = np.random.default_rng(0)
    is_fake, scores, subjects = people(rng, 9, of_subject=1.0)
    scores = np.round(scores)  # ties
    names = np.unique(subjects)
    own = [np.flatnonzero(np.array(subjects) == name) for name in names]
    found = []
    for _ in range(1500):
        rows = np.concatenate([own[k] for k in rng.integers(len(names), size=len(names))])
        found.append(auc(is_fake[rows], scores[rows]))
    assert auc_interval(is_fake, scores, subjects, draws=20_000) == pytest.approx(
        np.quantile(found, [0.025, 0.975]), abs=0.02
    )
    assert auc_interval(is_fake, scores, subjects) == auc_interval(is_fake, scores, subjects)


def test_videos_of_one_person_are_no_independent_evidence():
    rng = np.random.default_rng(1)
    # Each subject has one label: ten copies of a video make no interval narrower.
    is_fake, scores = np.arange(20) % 2 == 1, rng.normal(size=20) + np.arange(20) % 2
    subjects = [f"s{k}" for k in range(20)]
    once = auc_interval(is_fake, scores, subjects)
    ten = auc_interval(np.repeat(is_fake, 10), np.repeat(scores, 10), list(np.repeat(subjects, 10)))
    assert ten == pytest.approx(once)
    as_videos = auc_interval(np.repeat(is_fake, 10), np.repeat(scores, 10), [str(k) for k in range(200)])
    assert as_videos[1] - as_videos[0] < 0.5 * (once[1] - once[0])


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    truth = 0.7602  # of a normal difference of 1 SD: Phi(1 / sqrt 2)
    hits = 0
    for _ in range(200):
        low, high = auc_interval(*people(rng, 30), draws=400)
        hits += low <= truth <= high
    assert 0.90 < hits / 200 < 0.99


def test_no_interval_where_draws_cannot_say_anything():
    is_fake = np.array([False, True] * 5)
    subjects = list("aabbccddee")
    assert auc_interval(is_fake, is_fake.astype(float), subjects) is None
    assert auc_interval(is_fake, np.full(10, 0.5), subjects) is None
    assert auc_interval(is_fake, np.arange(10.0) % 3, subjects) is not None
    assert auc_interval(is_fake, np.arange(10.0) % 3, list("aabbccdddd")) is None
    assert auc_interval(np.ones(10, bool), np.arange(10.0), subjects) is None
    # One subject has all the fakes: draws without it are left out.
    low, high = auc_interval(np.arange(10) < 2, np.array([5, 1, 0, 2, 3, 4, 0, 6, 2, 7.0]), subjects)
    assert 0 <= low < high <= 1


def test_the_permutation_test_against_drawn_permutations():
    rng = np.random.default_rng(3)
    # Two subjects with both labels of an emotion, and others with one label only, dealt within two emotions.
    subjects = np.array(["a"] * 6 + ["b"] * 5 + [f"c{k}" for k in range(14)])
    emotions = np.array(["anger"] * 11 + ["anger"] * 6 + ["sadness"] * 8)
    is_fake = rng.random(25) < 0.5
    is_fake[[0, 6]], is_fake[[1, 7]] = True, False
    called = np.where(rng.random(25) < 0.7, is_fake, ~is_fake)
    found = permutation_test(is_fake, called, subjects.tolist(), emotions.tolist())
    assert (found.within_subject, found.within_emotion) == (11, 14)

    blocks = np.where(np.isin(subjects, ["a", "b"]), subjects, emotions)
    n_draws, drawn = 5_000, []
    for _ in range(n_draws):
        dealt = is_fake.copy()
        for name in np.unique(blocks):
            dealt[blocks == name] = rng.permutation(dealt[blocks == name])
        drawn.append((dealt == called).sum())
    distances = np.abs(drawn - np.mean(drawn))
    at_least = np.sum(distances >= abs((is_fake == called).sum() - np.mean(drawn)) - 0.1)
    assert found.p == pytest.approx((at_least + 1) / (n_draws + 1), abs=0.025)


def test_the_permutation_test_within_one_emotion_is_that_of_scipy():
    rng = np.random.default_rng(4)
    is_fake = np.arange(40) % 2 == 1
    called = np.where(rng.random(40) < 0.65, is_fake, ~is_fake)
    found = permutation_test(is_fake, called, [f"s{k}" for k in range(40)], ["anger"] * 40)
    drawn = monte_carlo(
        (is_fake, called), lambda a, b: np.mean(a == b), permutation_type="pairings", alternative="two-sided", rng=0
    )
    assert found.p == pytest.approx(drawn.pvalue, abs=0.01)


def test_the_permutation_test_is_right_at_its_ends():
    is_fake = np.array([False, True] * 5)
    pairs = [f"s{k // 2}" for k in range(10)]
    # Five pairs, all right or all wrong: two of 2^5 ways to deal the labels.
    assert permutation_test(is_fake, is_fake, pairs, ["anger"] * 10) == (pytest.approx(2 / 32), 10, 0)
    assert permutation_test(is_fake, ~is_fake, pairs, ["anger"] * 10).p == pytest.approx(2 / 32)
    # Always the same verdict: nothing is shown, whatever the labels.
    assert permutation_test(is_fake, np.ones(10, bool), pairs, ["anger"] * 10).p == pytest.approx(1)
    assert permutation_test(is_fake[:1], is_fake[:1], ["a"], ["anger"]).p == pytest.approx(1)


def test_chance_is_called_out_of_chance_only_as_often_as_agreed():
    rng = np.random.default_rng(5)
    p = []
    for _ in range(400):
        is_fake, scores, subjects = people(rng, 15, effect=0.0, of_subject=2.0)
        p.append(permutation_test(is_fake, scores > 0.5, subjects, ["anger"] * 60).p)
    assert np.mean(np.array(p) < 0.05) < 0.08


def test_reliability_against_scikit_learn_and_by_hand():
    rng = np.random.default_rng(6)
    scores = rng.random(57)
    is_fake = rng.random(57) < scores
    found = reliability(is_fake, scores)
    assert found["brier"] == pytest.approx(brier_score_loss(is_fake, scores))
    assert found["log_loss"] == pytest.approx(log_loss(is_fake, scores))
    assert [part["n"] for part in found["bins"]] == [11, 12, 11, 12, 11]
    order = np.argsort(scores)
    expected = 0.0
    for part, rows in zip(found["bins"], np.split(order, np.cumsum([11, 12, 11, 12])), strict=True):
        assert part["score"] == pytest.approx(scores[rows].mean())
        assert part["n_fake"] == is_fake[rows].sum()
        expected += len(rows) / 57 * abs(scores[rows].mean() - is_fake[rows].mean())
    assert found["ece"] == pytest.approx(expected)


def test_the_calibration_error_of_right_scores_is_what_chance_makes_it():
    rng = np.random.default_rng(7)
    right, wrong = [], []
    for _ in range(100):
        scores = rng.random(60)
        found = reliability(rng.random(60) < scores, scores)
        right.append(found["ece"] - found["ece_if_calibrated"])
        sure = reliability(rng.random(60) < scores, np.where(scores > 0.5, 0.99, 0.01))
        wrong.append(sure["ece"] - sure["ece_if_calibrated"])
    assert np.mean(right) == pytest.approx(0, abs=0.01)
    assert min(wrong) > 0.05


def test_equal_scores_share_a_bin_and_few_videos_make_one():
    found = reliability(np.arange(40) % 2 == 1, np.repeat([0.2, 0.9], [30, 10]))
    assert [(part["n"], part["score"]) for part in found["bins"]] == [
        (30, pytest.approx(0.2)),
        (10, pytest.approx(0.9)),
    ]
    assert reliability(np.array([True]), np.array([1.0]))["bins"] == [{"n": 1, "score": 1.0, "n_fake": 1}]
