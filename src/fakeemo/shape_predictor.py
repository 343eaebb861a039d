"""Shape predictors (Kazemi and Sullivan 2014, the paper's [12]), parsed once and then mapped from the cache folder."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fakeemo.errors import FakeemoError
from fakeemo.files import cache_folder, replacing

_FORMAT = 2  # of the parsed file in the cache; raise it when the arrays below change


class ShapePredictor(NamedTuple):
    """A cascade of regression trees over ``L`` levels, ``T`` trees a level, ``S`` splits a tree, ``P`` points.

    Coordinates are those of the face box: (0, 0) its upper left pixel, (1, 1) its lower right pixel.
    """

    leaves: NDArray[np.float32]  # (L, T, S + 1, 2 P), what a leaf adds to the shape: x_0, y_0, x_1, ...
    initial_shape: NDArray[np.float32]  # (P, 2), the mean face
    pixels: NDArray[np.uint16]  # (L, T, S, 2), the two pixel positions that a split compares
    thresholds: NDArray[np.float32]  # (L, T, S), grey levels
    anchors: NDArray[np.uint16]  # (L, F), the point that a pixel position hangs on
    deltas: NDArray[np.float32]  # (L, F, 2), its offset from that point in the mean face
    sha256: str  # of the file


def read(path: str | Path) -> ShapePredictor:
    """Read a shape predictor, from the cache folder if this very file was parsed before.

    Raises :class:`FakeemoError` if the file is missing, cut off, followed by something else, or no shape predictor.
    """
    path = Path(path)
    try:
        stat = path.stat()
    except OSError as error:
        raise FakeemoError(f"landmark model {path}: {error.strerror}; name another file in landmarks.model") from error
    identity = f"{_FORMAT} {path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    cached = cache_folder() / f"predictor-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.npy"
    try:
        return _map(cached)
    except Exception:  # it is not there, or damaged in any way: NumPy's reader has no error of its own for that
        predictor = parse(path)
    fields = [(name, np.asarray(value).dtype, np.shape(value)) for name, value in predictor._asdict().items()]
    with replacing(cached) as temporary:
        np.save(temporary, np.array(tuple(predictor), fields), allow_pickle=False)
    return _map(cached)


def _map(cached: Path) -> ShapePredictor:
    """Map a parsed predictor into memory.

    Jobs side by side then share one copy, and the leaves begin at a multiple of 64 bytes (as NumPy's files do, and
    its arrays in memory do not), without which adding them takes a quarter more time.
    """
    record = np.load(cached, mmap_mode="c", allow_pickle=False)
    *arrays, digest = (np.asarray(record[name]) for name in ShapePredictor._fields)
    return _checked(ShapePredictor._make((*arrays, str(digest))))


def parse(path: Path) -> ShapePredictor:
    """Parse a ``.dat`` file to its last byte. Raises :class:`FakeemoError` if it is no whole shape predictor."""
    from fakeemo import dlib_format  # here, since it brings Numba, and half a second that a warm start can do without

    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise FakeemoError(f"landmark model {path}: {error.strerror}; name another file in landmarks.model") from error
    try:
        shape, pixels, thresholds, leaves, anchors, deltas = dlib_format.parse(data)
        digest = hashlib.sha256(data.data).hexdigest()
        whole = _checked(ShapePredictor(leaves, shape.reshape(-1, 2), pixels, thresholds, anchors, deltas, digest))
        return whole._replace(pixels=pixels.astype(np.uint16), anchors=anchors.astype(np.uint16))
    except ValueError as error:
        raise FakeemoError(
            f"landmark model {path}: not a whole dlib shape predictor ({error});"
            " fetch it again, or name another file in landmarks.model"
        ) from error


def _checked(predictor: ShapePredictor) -> ShapePredictor:
    """Raise :class:`ValueError` if a position in a predictor lies outside its arrays; the kernels do not look."""
    n_points, n_positions = len(predictor.initial_shape), predictor.anchors.shape[1]
    if predictor.anchors.max() >= n_points or predictor.pixels.max() >= n_positions:
        raise ValueError("it refers to a point or pixel position that it does not have")
    return predictor
