"""The estimator: series of known dynamics told apart, scikit-learn's own tools around it, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted

from fakeemo.errors import FakeemoError
from fakeemo.estimator import LEARNING, RECOGNITION, LSTMPBEstimator
from fakeemo.lstm_pb import NetworkSettings, save_network

SMALL = NetworkSettings(pb=4, context=8, hidden=32, layers=2)
QUICK = replace(LEARNING, epochs=2)


def onsets(n=32, time=24, seed=0):
    """Movements that take 4 to 7 frames in one class and 12 to 18 in the other, as far in both; no unit in common."""
    random = np.random.default_rng(seed)
    slow = np.arange(n) % 2 == 1
    duration = np.where(slow, random.uniform(12, 18, n), random.uniform(4, 7, n))
    way = np.minimum(np.arange(time) / duration[:, None], 1) * random.uniform(0.8, 1.2, n)[:, None]
    X = np.array([100, 0, -3]) + way[..., None] * np.array([50, -0.02, 1]) * random.normal(1, 0.03, (n, time, 3))
    return X, np.where(slow, "slow", "fast")


@pytest.fixture(scope="module")
def fitted():
    X, y = onsets()
    return LSTMPBEstimator(SMALL, replace(LEARNING, epochs=60), device="cpu").fit(X, y)


def test_pb_vectors_of_new_series_tell_the_classes_apart(fitted):
    X, y = onsets()
    new, truth = onsets(n=40, seed=1)
    judge = make_pipeline(StandardScaler(), LogisticRegression()).fit(fitted.transform(X), y)
    # By chance 27 or more of 40 are right in 2 % of all cases, 34 in less than one of 100,000.
    assert (judge.predict(fitted.transform(new)) == truth).sum() >= 34


def test_a_series_with_missing_frames_is_transformed_alone_as_in_company(fitted):
    X, _ = onsets(seed=1)
    X[0, 15:] = np.nan
    X[0, 5, 1] = np.nan
    together = fitted.transform(X)
    assert np.isfinite(together).all()
    np.testing.assert_allclose(fitted.transform(X[:1, :15]), together[:1], atol=1e-5)


def test_fitted_attributes(fitted):
    X, _ = onsets()
    assert fitted.classes_.tolist() == ["fast", "slow"]
    assert fitted.class_pb_.shape == (2, 4)
    assert fitted.n_features_in_ == 3
    scaled = (X - fitted.center_) / fitted.scale_
    np.testing.assert_allclose(scaled.min(axis=(0, 1)), -0.9)
    np.testing.assert_allclose(scaled.max(axis=(0, 1)), 0.9)
    assert len(fitted.history_) == 60


def test_same_random_state_same_network():
    X, y = onsets(n=8)
    one, same, other = (
        LSTMPBEstimator(SMALL, QUICK, random_state=state, device="cpu").fit(X, y).transform(X) for state in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


def test_saved_and_loaded_it_transforms_identically(fitted, tmp_path):
    X, _ = onsets(seed=1)
    fitted.save(tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["config.json", "lstm_pb.safetensors"]
    loaded = LSTMPBEstimator.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(loaded.transform(X), fitted.transform(X))
    np.testing.assert_array_equal(loaded.generate("slow", X[0, 0], 10), fitted.generate("slow", X[0, 0], 10))
    assert loaded.get_params() == fitted.get_params() | {"network": loaded.network, "network__features": 3}


def test_generated_series_move_at_their_class_s_pace_in_the_unit_of_the_data(fitted):
    X, _ = onsets()
    fast, slow = (fitted.generate(label, X[0, 0], 24)[0] for label in ("fast", "slow"))
    np.testing.assert_allclose(fast[0], X[0, 0], rtol=1e-5, atol=1e-6)
    assert fast.shape == (24, 3)
    half = [np.argmax(series[:, 0] > 125) for series in (fast, slow)]
    assert 0 < half[0] < half[1]
    by_vector = fitted.generate(fitted.class_pb_, np.stack([X[0, 0]] * 2), 24)
    np.testing.assert_allclose(by_vector, np.stack([fast, slow]), rtol=1e-5, atol=1e-6)
    assert fitted.generate(fitted.class_pb_[0], X[:5, 0], 6).shape == (5, 6, 3)


def test_it_learns_by_adam_and_keeps_that_in_its_file(tmp_path):
    X, y = onsets(n=8)
    adam = LSTMPBEstimator(SMALL, QUICK, device="cpu")
    adam.set_params(learning__optimiser="adam", learning__schedule="linear", learning__weight_rate=0.01).fit(X, y)
    assert [row["weight_rate"] for row in adam.history_] == [0.01, 0.01]
    adam.save(tmp_path)
    assert LSTMPBEstimator.load(tmp_path).learning == adam.learning
    with pytest.raises(FakeemoError, match=r"learning\.optimiser: 'lion' given, expected sgd or adam"):
        adam.set_params(learning__optimiser="lion")


def test_it_is_cloned_and_its_settings_are_reached_by_name():
    estimator = LSTMPBEstimator(SMALL, random_state=3)
    copied = clone(estimator)
    assert copied is not estimator
    assert copied.get_params() == estimator.get_params()
    estimator.set_params(learning__epochs=7, recognition=replace(RECOGNITION, steps=3), recognition__rate=0.5)
    assert (estimator.learning.epochs, estimator.recognition.steps, estimator.recognition.rate) == (7, 3, 0.5)
    assert copied.learning == LEARNING
    with pytest.raises(ValueError, match="no parameter 'learning__speed'"):
        estimator.set_params(learning__speed=1)


# Those that make no series of their own: they would have two dimensions. One more wants defaults of built-in types.
@pytest.mark.filterwarnings("ignore:TypeError occurred during set_params")
@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_valid_tag_types,
    ],
)
def test_scikit_learn_s_own_checks_of_the_conventions(check):
    check("LSTMPBEstimator", LSTMPBEstimator())


def test_scikit_learn_searches_and_cross_validates_a_pipeline_of_it():
    X, y = onsets(n=12, time=8)
    pipeline = make_pipeline(LSTMPBEstimator(SMALL, QUICK, device="cpu"), LogisticRegression())
    assert np.isfinite(cross_val_score(pipeline, X, y, cv=2, error_score="raise")).all()
    search = GridSearchCV(pipeline, {"lstmpbestimator__network__pb": [2, 3]}, cv=2, error_score="raise").fit(X, y)
    best = search.best_estimator_
    assert best[0].class_pb_.shape == (2, search.best_params_["lstmpbestimator__network__pb"])
    check_is_fitted(best[0])
    with pytest.raises(NotFittedError):
        check_is_fitted(clone(best[0]))
    assert "LSTMPBEstimator(network=NetworkSettings(" in repr(best[0])
    assert "LSTMPBEstimator" in repr(pipeline)
    assert "LSTMPBEstimator" in pipeline._repr_html_()


def test_what_cannot_be_fitted_is_said(fitted):
    X, y = onsets(n=6)
    estimator = LSTMPBEstimator(SMALL, QUICK, device="cpu")
    gap = X.copy()
    gap[2, 1:] = np.nan
    infinite = X.copy()
    infinite[0, 0, 0] = np.inf
    for bad_x, bad_y, message in (
        (X[0], y, r"X: an array \(n, time, features\) is needed, not shape \(24, 3\)"),
        ([["a"]], y, "X: an array .* of numbers is needed"),
        (infinite, y, "X: holds infinite values; missing frames are NaN"),
        (gap, y, "X: series 2 has 1 frames without NaN"),
        (X, y[:5], r"y: one label for each of 6 series is needed, not shape \(5,\)"),
        (X, np.arange(6), "y: two different labels are needed, not 6"),
    ):
        with pytest.raises(FakeemoError, match=message):
            estimator.fit(bad_x, bad_y)
    with pytest.raises(FakeemoError, match=r"X: values run from -\d\S* to 1\d\d\.\d*; set scale=True"):
        clone(estimator).set_params(scale=False).fit(X, y)
    with pytest.raises(FakeemoError, match="learned nothing yet; call fit first"):
        LSTMPBEstimator().transform(X)
    with pytest.raises(FakeemoError, match="X: has 2 features, the series of fit had 3"):
        fitted.transform(X[..., :2])
    with pytest.raises(FakeemoError, match=r"'medium' is not one of the labels \['fast', 'slow'\]"):
        fitted.generate("medium", X[0, 0], 5)
    with pytest.raises(FakeemoError, match=r"PB vectors \(n, 4\) and first frames \(n, 3\) are needed"):
        fitted.generate(fitted.class_pb_[:, :2], X[0, 0], 5)


def test_without_scaling_values_stay_as_they_are():
    X, y = onsets(n=6)
    X = (X - X.mean(axis=(0, 1))) / 200
    estimator = LSTMPBEstimator(SMALL, QUICK, scale=False, device="cpu").fit(X, y)
    assert not estimator.center_.any()
    assert (estimator.scale_ == 1).all()


def test_a_folder_of_the_workflow_is_not_taken_for_one_of_save(fitted, tmp_path):
    save_network(fitted.model_, tmp_path)
    with pytest.raises(FakeemoError, match=r"not written by LSTMPBEstimator.save"):
        LSTMPBEstimator.load(tmp_path)
