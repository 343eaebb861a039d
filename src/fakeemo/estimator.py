"""The LSTM with parametric bias for any multivariate series, with the conventions of scikit-learn.

Learning mode is ``fit``, recognition mode ``transform``, generation mode ``generate`` (sections 2.3.1 to 2.3.3)::

    lstm_pb = LSTMPBEstimator().fit(X, y)
    pb = lstm_pb.transform(X)

scikit-learn itself is not needed, but its ``clone``, ``Pipeline`` and ``GridSearchCV`` take the estimator.
"""

from collections.abc import Hashable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from fakeemo.devices import choose_device
from fakeemo.errors import FakeemoError
from fakeemo.learning_step import LearningSettings
from fakeemo.lstm_pb import NetworkSettings, load_network, save_network
from fakeemo.recognition import RecognitionSettings, recognise
from fakeemo.sequences import Sequences, fill_gaps
from fakeemo.tables import software
from fakeemo.training import train

NETWORK = NetworkSettings(pb=8, context=16, hidden=64, layers=2)
LEARNING = LearningSettings(
    epochs=100,
    batch_size=16,
    weight_rate=0.1,
    pb_rate=2.0,
    patience=30,
    closed_loop=0.9,
    pb="sequence",
    clip_norm=1.0,
)
RECOGNITION = RecognitionSettings(steps=50, rate=2.0)

_SETTINGS = ("network", "learning", "recognition")
_PARAMETERS = (*_SETTINGS, "scale", "random_state", "device")

# Scaled training series end here, as tanh reaches 1 only in the infinite.
_REACH = 0.9

_Series = tuple[np.ndarray, np.ndarray]  # values (time, features) without gaps, and a mask of what was there


class LSTMPBEstimator:
    """Turn series into PB vectors.

    Series are an array ``(n, time, features)`` of evenly spaced frames. A frame with NaN is missing, so shorter
    series end (or begin) with frames of NaN; each needs two frames at least.

    Args:
        network: sizes; ``features`` comes from the data.
        learning: schedule of learning mode.
        recognition: of recognition mode.
        scale: bring each feature's range in the series of ``fit`` to [-0.9, 0.9]. Without, values are taken as they are
            and must lie in [-1, 1], since that is what the network's tanh can say.
        random_state: a whole number; decides everything random.
        device: auto, cuda or cpu.

    The defaults train in seconds; those of the settings' own classes are the paper's. ``set_params`` and a grid search
    reach single settings by names like ``learning__epochs``. The environment variable ``TQDM_DISABLE=1`` silences
    progress bars.

    Attributes:
        classes_: the two labels, sorted.
        class_pb_: their PB vectors, ``(2, pb)``.
        n_features_in_: features of a frame.
        center_: what is subtracted from each feature, ``(features,)``.
        scale_: by what it is then divided, ``(features,)``.
        model_: the network.
        history_: a dict an epoch, see :func:`fakeemo.training.train`; not saved.
    """

    def __init__(
        self,
        network: NetworkSettings = NETWORK,
        learning: LearningSettings = LEARNING,
        recognition: RecognitionSettings = RECOGNITION,
        *,
        scale: bool = True,
        random_state: int = 0,
        device: str = "auto",
    ) -> None:
        self.network = network
        self.learning = learning
        self.recognition = recognition
        self.scale = scale
        self.random_state = random_state
        self.device = device

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Learn from series ``(n, time, features)`` with two labels ``(n,)`` of any type.

        Raises:
            FakeemoError: if shapes or values cannot be used, labels are not two, or learning diverges.
        """
        series = _as_series(X)
        labels = np.asarray(y)
        if labels.shape != (len(series),):
            raise FakeemoError(f"y: one label for each of {len(series)} series is needed, not shape {labels.shape}")
        classes, index = np.unique(labels, return_inverse=True)
        if len(classes) != 2:
            raise FakeemoError(f"y: two different labels are needed, not {len(classes)}")
        frames = np.concatenate([x[seen] for x, seen in series])
        low, high = frames.min(axis=0), frames.max(axis=0)
        if self.scale:
            center, scale = (low + high) / 2, np.where(high > low, (high - low) / (2 * _REACH), 1.0)
        else:
            center, scale = np.zeros_like(low), np.ones_like(low)
            if low.min() < -1 or high.max() > 1:
                raise FakeemoError(
                    f"X: values run from {low.min():g} to {high.max():g}; set scale=True, or bring them to [-1, 1]"
                )
        self.classes_, self.center_, self.scale_, self.n_features_in_ = classes, center, scale, frames.shape[1]
        self.model_, self.history_ = train(
            self._sequences(series),
            index,
            self.network,
            self.learning,
            seed=self.random_state,
            device=choose_device(self.device),
        )
        self.class_pb_ = self.model_.class_pb.cpu().numpy()
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Give the PB vectors ``(n, pb)`` of series ``(n, time, features)``; each is found independently of the others.

        Raises:
            FakeemoError: if shapes or values cannot be used, nothing has been fitted, or recognition diverges.
        """
        self._check_fitted()
        series = _as_series(X)
        if series[0][0].shape[1] != self.n_features_in_:
            raise FakeemoError(f"X: has {series[0][0].shape[1]} features, the series of fit had {self.n_features_in_}")
        found = recognise(
            self.model_,
            self._sequences(series),
            self.recognition,
            closed_loop=self.learning.closed_loop,
            description="recognition",
        )
        return found.pb

    def fit_transform(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Fit, then transform the same series."""
        return self.fit(X, y).transform(X)

    def generate(self, p: np.ndarray | Hashable, first: np.ndarray, length: int) -> np.ndarray:
        """Let the network run free: the series that PB vectors stand for.

        Args:
            p: one of ``classes_``, or PB vectors ``(pb,)`` or ``(n, pb)``.
            first: first frames in the unit of the series, ``(features,)`` or ``(n, features)``.
            length: frames to give, the first included.

        Returns:
            ``(n, length, features)`` in the unit of the series.

        Raises:
            FakeemoError: if the label is unknown, the shapes do not fit, or nothing has been fitted.
        """
        self._check_fitted()
        if np.ndim(p) == 0:  # type: ignore[arg-type]
            known = np.flatnonzero(self.classes_ == p)
            if not len(known):
                raise FakeemoError(f"generate: {p!r} is not one of the labels {self.classes_.tolist()}")
            p = self.class_pb_[known[0]]
        pb, frames = np.atleast_2d(np.asarray(p, np.float32)), np.atleast_2d(np.asarray(first, np.float64))
        expected = (self.class_pb_.shape[1], self.n_features_in_)
        if (pb.shape[1:], frames.shape[1:]) != (expected[:1], expected[1:]) or 1 != len(pb) != len(frames) != 1:
            raise FakeemoError(
                f"generate: PB vectors (n, {expected[0]}) and first frames (n, {expected[1]}) are needed, not shapes"
                f" {pb.shape} and {frames.shape}"
            )
        n = max(len(pb), len(frames))
        device = self.model_.class_pb.device
        scaled = ((frames - self.center_) / self.scale_).astype(np.float32)
        x = self.model_.generate(
            torch.from_numpy(pb).to(device).expand(n, -1), torch.from_numpy(scaled).to(device).expand(n, -1), length
        )
        generated: np.ndarray = x.cpu().numpy() * self.scale_ + self.center_
        return generated

    def save(self, folder: str | Path) -> None:
        """Write ``lstm_pb.safetensors`` and ``config.json`` into ``folder``, from which :meth:`load` comes back."""
        self._check_fitted()
        save_network(
            self.model_,
            folder,
            learning=asdict(self.learning),
            recognition=asdict(self.recognition),
            scale=self.scale,
            random_state=self.random_state,
            classes=self.classes_.tolist(),
            center_=self.center_.tolist(),
            scale_=self.scale_.tolist(),
            software=software("torch", "numpy"),
        )

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            FakeemoError: if a file is missing or damaged, or was not written by :meth:`save`.
        """
        model, facts = load_network(folder, choose_device(device))
        try:
            estimator = cls(
                model.settings,
                LearningSettings(**facts["learning"]),
                RecognitionSettings(**facts["recognition"]),
                scale=facts["scale"],
                random_state=facts["random_state"],
                device=device,
            )
            estimator.classes_ = np.array(facts["classes"])
            estimator.center_, estimator.scale_ = np.array(facts["center_"]), np.array(facts["scale_"])
        except (KeyError, TypeError) as error:
            raise FakeemoError(f"{folder}/config.json: not written by LSTMPBEstimator.save ({error})") from error
        estimator.model_, estimator.n_features_in_ = model, model.settings.features
        estimator.class_pb_ = model.class_pb.cpu().numpy()
        return estimator

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Give the parameters of ``__init__`` by name; with ``deep`` also each setting, as ``learning__epochs``."""
        params = {name: getattr(self, name) for name in _PARAMETERS}
        if deep:
            for name in _SETTINGS:
                params |= {f"{name}__{key}": value for key, value in asdict(params[name]).items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by the names that :meth:`get_params` gives."""
        known = self.get_params()
        # Sorted, so that whole settings come before what is changed in them.
        for key in sorted(params):
            if key not in known:
                raise ValueError(f"LSTMPBEstimator has no parameter '{key}'; it has {', '.join(known)}")
            name, _, setting = key.partition("__")
            value = replace(getattr(self, name), **{setting: params[key]}) if setting else params[key]
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """Give the call that makes an estimator with these parameters."""
        return (
            f"LSTMPBEstimator({', '.join(f'{name}={value!r}' for name, value in self.get_params(deep=False).items())})"
        )

    def __sklearn_tags__(self) -> Any:
        """Say what scikit-learn, which alone calls this, wants to know."""
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags  # type: ignore[import-untyped]

        return Tags(
            estimator_type="transformer",
            target_tags=TargetTags(required=True),
            transformer_tags=TransformerTags(),
            input_tags=InputTags(two_d_array=False, three_d_array=True, allow_nan=True),
        )

    def _check_fitted(self) -> None:
        if not hasattr(self, "model_"):
            raise FakeemoError("this LSTMPBEstimator has learned nothing yet; call fit first")

    def _sequences(self, series: list[_Series]) -> Sequences:
        n, longest = len(series), max(len(x) for x, _ in series)
        x, mask = np.zeros((n, longest, self.n_features_in_), np.float32), np.zeros((n, longest), bool)
        for i, (values, seen) in enumerate(series):
            x[i, : len(values)] = (values - self.center_) / self.scale_
            mask[i, : len(values)] = seen
        return Sequences(x, mask, np.array([f"series {i}" for i in range(n)]), np.zeros(n, int))


def _as_series(X: Any) -> list[_Series]:
    try:
        array = np.asarray(X, np.float64)
    except (TypeError, ValueError) as error:
        raise FakeemoError(f"X: an array (n, time, features) of numbers is needed ({error})") from error
    if array.ndim != 3 or 0 in array.shape:
        raise FakeemoError(f"X: an array (n, time, features) is needed, not shape {array.shape}")
    if np.isinf(array).any():
        raise FakeemoError("X: holds infinite values; missing frames are NaN")
    series = [fill_gaps(x) for x in array]
    for i, (_, seen) in enumerate(series):
        if seen.sum() < 2:
            raise FakeemoError(f"X: series {i} has {seen.sum()} frames without NaN; 2 are needed; leave it out")
    return series
