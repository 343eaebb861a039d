"""Telling genuine from acted emotion in video, after Huynh & Kim, ICCV Workshops 2017.

The modules stand in the order in which the data flows, and each imports only what stands before it: ``errors``,
``files``, ``progress``, ``tables``, ``samples``, ``video``, ``faces``, ``mosse``, ``tracking``, ``dlib_format``,
``shape_predictor``, ``tree_kernels``, ``regression_trees``, ``landmarks``, ``augment``, ``preprocessing``, ``quality``,
``sequences``, ``grid_lstm``, ``lstm_pb``, ``training``, ``recognition``, ``boosting``, ``evaluation``, ``figures``,
``report``, ``cli``. ``demo_dynamics``, ``demo_subjects`` and ``demo`` make videos and stand apart; ``workflow`` and
``jobs`` serve the rules. Importing the package itself imports none of them.

What :data:`__all__` names is the public interface: it changes only with a word in the changelog. Each name is imported
when it is first asked for, so that a tracker does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fakeemo.augment import landmark_video
    from fakeemo.errors import FakeemoError, VideoError
    from fakeemo.estimator import LSTMPBEstimator
    from fakeemo.learning_step import LearningSettings
    from fakeemo.lstm_pb import LSTMPB, NetworkSettings, load_network
    from fakeemo.recognition import RecognitionSettings, recognise
    from fakeemo.samples import read_samples
    from fakeemo.sequences import Sequences, load_sequences
    from fakeemo.tables import read_header, read_table
    from fakeemo.tracking import TrackingSettings, track_video
    from fakeemo.training import train

__version__ = "0.1.0"

_MODULES = {
    "errors": ("FakeemoError", "VideoError"),
    "tables": ("read_header", "read_table"),
    "samples": ("read_samples",),
    "tracking": ("TrackingSettings", "track_video"),
    "augment": ("landmark_video",),
    "sequences": ("Sequences", "load_sequences"),
    "lstm_pb": ("LSTMPB", "NetworkSettings", "load_network"),
    "learning_step": ("LearningSettings",),
    "training": ("train",),
    "recognition": ("RecognitionSettings", "recognise"),
    "estimator": ("LSTMPBEstimator",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "LSTMPB",
    "FakeemoError",
    "LSTMPBEstimator",
    "LearningSettings",
    "NetworkSettings",
    "RecognitionSettings",
    "Sequences",
    "TrackingSettings",
    "VideoError",
    "landmark_video",
    "load_network",
    "load_sequences",
    "read_header",
    "read_samples",
    "read_table",
    "recognise",
    "track_video",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fakeemo' has no attribute '{name}'")
    value = getattr(import_module(f"fakeemo.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
