"""Facial landmarks (section 2.2 of the paper): dlib's 68 points on every frame, and the 40 that are kept.

Two engines give them. ``batched`` walks dlib's ensemble of regression trees over many face boxes at once and
gives sub-pixel positions; ``dlib`` is dlib itself, one box at a time, and gives whole pixels. Rounding the
positions of ``batched`` (:func:`whole_pixels`) gives those of ``dlib``, every one.
"""

import importlib.metadata
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fakeemo import regression_trees, shape_predictor
from fakeemo.errors import FakeemoError
from fakeemo.files import replacing

Engine = Literal["batched", "dlib"]

N_POINTS = 68
# Fig. 2: without the jaw line (0-16), the inner lip (60-67) and some points of the outer lip ...
KEPT = (*range(17, 27), *range(30, 49), 50, 51, 52, 54, 56, 57, 58)
# ... and with the points half way between these: two at the ends of the eyebrows, two on the cheeks.
MIDPOINTS = ((0, 17), (26, 16), (2, 29), (14, 29))
N_SELECTED = len(KEPT) + len(MIDPOINTS)


class Predictor(NamedTuple):
    """A landmark engine with its model."""

    engine: regression_trees.Predict
    model: Path
    sha256: str  # of the model file

    def predict(
        self, frames: NDArray[np.uint8], boxes: NDArray[np.int64], frame_of_box: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Predict the landmarks of faces.

        Args:
            frames: (height, width) or (frames, height, width), grey levels.
            boxes: (n, 4), each x, y, w, h in whole pixels, in dlib's convention of a face (see
                :func:`fakeemo.faces.predictor_box`): the last column and row of pixels in it are x + w - 1
                and y + h - 1. A box may leave the frame.
            frame_of_box: (n,), the index of each box's frame; if absent, all boxes are in the first.

        Returns:
            (n, 68, 2): the x and y of each point in pixels of the frame.
        """
        frames = np.ascontiguousarray(frames, np.uint8).reshape(-1, *frames.shape[-2:])
        boxes = np.ascontiguousarray(boxes, np.int64)
        if frame_of_box is None:
            frame_of_box = np.zeros(len(boxes), np.int64)
        return self.engine(frames, boxes, np.ascontiguousarray(frame_of_box, np.int64))


def default_model() -> Path:
    """Find the 68-point predictor that the distribution ``face-recognition-models`` carries.

    It is found by its place: importing the package needs ``pkg_resources``, which new environments lack.
    Raises :class:`FakeemoError` if it is not installed.
    """
    name = "shape_predictor_68_face_landmarks.dat"
    try:
        files = importlib.metadata.files("face-recognition-models") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == name:
            return Path(str(file.locate()))
    raise FakeemoError(
        f"{name} not found: install the Python package face-recognition-models, or name a file in landmarks.model"
    )


def load_predictor(engine: Engine = "batched", model: str | Path | None = None) -> Predictor:
    """Load a landmark engine with a model file (:func:`default_model` if none is named).

    Raises :class:`FakeemoError` if the engine is unknown or the file is no whole 68-point shape predictor.
    """
    if engine not in ("batched", "dlib"):
        raise FakeemoError(f"landmarks.engine: {engine!r} is unknown; write batched or dlib")
    path = Path(model) if model else default_model()
    # dlib's file is read by us as well: dlib does not say how many points it has, nor whether something follows.
    predictor = shape_predictor.read(path)
    if len(predictor.initial_shape) != N_POINTS:
        raise FakeemoError(
            f"landmark model {path}: predicts {len(predictor.initial_shape)} points, not {N_POINTS};"
            " name a 68-point predictor in landmarks.model"
        )
    return Predictor(_dlib(path) if engine == "dlib" else regression_trees.batched(predictor), path, predictor.sha256)


def _dlib(path: Path) -> regression_trees.Predict:
    import dlib  # here, so that the default engine does not pay for it

    predictor = dlib.shape_predictor(str(path))

    def predict(
        frames: NDArray[np.uint8], boxes: NDArray[np.int64], frame_of_box: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        points = np.empty((len(boxes), N_POINTS, 2), np.float32)
        for row, index, (x, y, w, h) in zip(points, frame_of_box, boxes.tolist(), strict=True):
            face = predictor(frames[index], dlib.rectangle(x, y, x + w - 1, y + h - 1))
            row[:] = [(part.x, part.y) for part in face.parts()]
        return points

    return predict


def warm(model: str | Path | None = None) -> None:
    """Compile the kernels and parse the model, so that jobs that start side by side find both in the cache.

    Several processes may do this at the same time: each file in the cache is replaced as a whole.
    """
    load_predictor("batched", model).predict(np.zeros((8, 8), np.uint8), np.array([[0, 0, 8, 8]]))


def write_engine(out: str | Path, engine: Engine = "batched", model: str | Path | None = None) -> None:
    """Make the engine ready for jobs that start side by side, and note engine and model in a text file ``out``.

    Raises :class:`FakeemoError` as :func:`load_predictor` does: before the first video, not in each.
    """
    predictor = load_predictor(engine, model)
    if engine == "batched":
        warm(model)
    with replacing(out) as temporary:
        temporary.write_text(f"{engine}\t{predictor.model.name}\t{predictor.sha256}\n")


def whole_pixels(positions: NDArray[np.floating]) -> NDArray[np.int64]:
    """Round as dlib does: to the nearest whole pixel, halves upwards."""
    return np.floor(positions.astype(np.float64) + 0.5).astype(np.int64)


def select(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Choose the 40 points of Fig. 2 from landmarks (..., 68, 2); the result is (..., 40, 2).

    They are 36 of the 68 points in their order, then the midpoints of the points (0, 17), (26, 16), (2, 29)
    and (14, 29), counted from 0.
    """
    first, second = np.array(MIDPOINTS).T
    midpoints = (points[..., first, :] + points[..., second, :]) / 2
    return np.concatenate([points[..., KEPT, :], midpoints], axis=-2)
