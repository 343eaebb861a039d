import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.metrics import log_loss

from fakeemo.calibration import Calibration, fit_calibration, read_calibration


def draw(rng, n, slope, intercept=0.0):
    """Draw raw scores whose true probabilities have logits ``slope`` times theirs, plus ``intercept``."""
    logits = rng.normal(size=n)
    return rng.random(n) < 1 / (1 + np.exp(-slope * logits - intercept)), 1 / (1 + np.exp(-logits))


def test_the_neutral_calibration_changes_nothing():
    scores = np.array([[0.001, 0.3], [0.5, 0.999]])
    assert Calibration()(scores) == pytest.approx(scores)
    assert read_calibration({"calibration": {"slope": 2.0, "intercept": -1.0, "log_loss": 0.1}}) == (2.0, -1.0)
    assert np.isfinite(Calibration(3.0, 1.0)([0.0, 1.0])).all()


@pytest.mark.parametrize(("slope", "intercept"), [(0.3, 0.0), (1.0, 0.7), (6.0, -0.5)])
def test_many_videos_give_the_true_line(slope, intercept):
    is_fake, scores = draw(np.random.default_rng(0), 40_000, slope, intercept)
    found = fit_calibration(is_fake, scores)
    assert found.slope == pytest.approx(slope, rel=0.06)
    assert found.intercept == pytest.approx(intercept, abs=0.06)


def test_the_fit_is_the_minimum_of_what_it_says_it_minimises():
    is_fake, scores = draw(np.random.default_rng(1), 30, 2.0)
    f = is_fake.sum()
    targets = np.where(is_fake, (f + 1) / (f + 2), 1 / (30 - f + 2))

    def loss(at):
        p = Calibration(np.exp(at[0]), at[1])(scores)
        return -np.sum(targets * np.log(p) + (1 - targets) * np.log(1 - p)) + at[0] ** 2 / 8 + at[1] ** 2 / 2

    expected = minimize(loss, [0.3, 0.1], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10})
    assert fit_calibration(is_fake, scores) == pytest.approx((np.exp(expected.x[0]), expected.x[1]), abs=1e-4)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=40))
def test_the_slope_is_above_0_whatever_the_scores(videos):
    is_fake, scores = (np.array(column) for column in zip(*videos, strict=True))
    found = fit_calibration(is_fake, scores)
    assert np.isfinite(found).all()
    assert found.slope > 0
    assert (np.diff(found(np.sort(scores))) >= 0).all()


def test_30_videos_make_scores_better_probabilities_and_never_much_worse():
    """Log-loss on other videos, mean of 200 draws of 30: lower where raw scores are off, hardly higher where not."""
    rng = np.random.default_rng(2)
    worse = {}
    for slope in (0.0, 0.3, 1.0, 4.0):
        new_labels, new_scores = draw(rng, 5000, slope)
        losses = [log_loss(new_labels, fit_calibration(*draw(rng, 30, slope))(new_scores)) for _ in range(200)]
        worse[slope] = np.mean(losses) - log_loss(new_labels, new_scores)
    assert worse[0.0] < -0.05
    assert worse[0.3] < -0.02
    assert worse[1.0] < 0.04
    assert worse[4.0] < -0.05


def test_scores_that_part_few_videos_do_not_become_certain():
    is_fake = np.arange(30) % 2 == 1
    probabilities = fit_calibration(is_fake, np.where(is_fake, 0.98, 0.02))([0.02, 0.98])
    assert probabilities == pytest.approx([1 / 17, 16 / 17], abs=0.02)  # Platt's targets for 15 of each


def test_scores_worse_than_guessing_are_drawn_together_and_not_turned_round():
    is_fake = np.arange(30) % 2 == 1
    found = fit_calibration(is_fake, np.where(is_fake, 0.3, 0.7))
    low, high = found([0.3, 0.7])
    assert 0.4 < low < high < 0.6
