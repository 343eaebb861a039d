"""Read dlib's serialised shape predictors (Kazemi and Sullivan 2014, the paper's [12]) without dlib.

The file is a stream of integers and floats. An integer is a control byte (number of bytes that follow, its
highest bit the sign) and a little-endian magnitude; a float is two integers, mantissa and exponent of two; a
vector is its length and its elements; a column of a matrix is its two sizes, negated, and its elements.
Nothing in it is ever run: whatever does not fit this description ends in a :class:`FakeemoError`.
"""

import hashlib
import importlib.util
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fakeemo.errors import FakeemoError


def cache_folder() -> Path:
    """Give the folder of parsed models and compiled kernels: ``$FAKEEMO_CACHE``, or ``~/.cache/fakeemo``.

    It is made, open to this user alone (Numba runs what it finds there), if it is not there.
    Raises :class:`FakeemoError` if it cannot be made.
    """
    folder = Path(os.environ.get("FAKEEMO_CACHE") or "~/.cache/fakeemo").expanduser().absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise FakeemoError(f"{folder}: {error.strerror}; set FAKEEMO_CACHE to a folder for cached files") from error
    return folder


# Numba reads this when it is imported; reload_config() serves a caller who imported Numba before this module.
os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder() / "numba"))
import numba  # noqa: E402

numba.config.reload_config()

# Numba finds out whether there is a BLAS by importing all of scipy.linalg, a third of the time that a job takes to
# start. No kernel here needs one; other code in this process finds it as ever.
if "scipy.linalg" not in sys.modules:
    sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
    try:
        import numba.np.arraymath
    finally:
        del sys.modules["scipy.linalg"]
    numba.np.arraymath._HAVE_BLAS = importlib.util.find_spec("scipy") is not None


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function with Numba: without Python objects or its lock, kept in the cache folder."""
    kernel: Callable[..., Any] = numba.njit(cache=True, nogil=True)(function)
    return kernel


_FORMAT = 2  # of the parsed file in the cache; raise it when the arrays below change
# No list in a real predictor comes near. A wrong file must not make us ask for all memory, and 16 bits must hold the
# index of a pixel position, and that of a node in a tree with this many leaves.
_LARGEST_SIZE = 1 << 15


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
    from fakeemo.tables import replacing  # here, since it brings Arrow, 30 MB that a warm start can do without

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
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise FakeemoError(f"landmark model {path}: {error.strerror}; name another file in landmarks.model") from error
    try:
        shape, pixels, thresholds, leaves, anchors, deltas = _parse(data)
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


@compiled
def _integer(data: NDArray[np.uint8], at: int) -> tuple[np.intp, int]:
    """Give the integer at byte ``at`` and the position after it."""
    if at >= data.size:
        raise ValueError("it is cut off")
    size = data[at] & 0x0F
    if size == 0 or size > 8 or data[at] & 0x70:
        raise ValueError("a number in it is malformed")
    if at + size >= data.size:
        raise ValueError("it is cut off")
    magnitude = np.intp(0)
    for i in range(size):
        magnitude |= np.intp(data[at + 1 + i]) << (8 * i)
    return (-magnitude if data[at] & 0x80 else magnitude), at + 1 + size


@compiled
def _size(data: NDArray[np.uint8], at: int) -> tuple[np.intp, int]:
    size, at = _integer(data, at)
    if size < 1 or size > _LARGEST_SIZE:
        raise ValueError("a length in it makes no sense")
    return size, at


@compiled
def _expect(data: NDArray[np.uint8], at: int, expected: int) -> int:
    """Read the integer ``expected`` and give the position after it."""
    value, at = _integer(data, at)
    if value != expected:
        raise ValueError("its version or one of its lengths is not the expected one")
    return at


@compiled
def _real(data: NDArray[np.uint8], at: int) -> tuple[np.float32, int]:
    mantissa, at = _integer(data, at)
    exponent, at = _integer(data, at)
    if exponent < -1100 or exponent > 1023:  # dlib's marks for infinity and NaN lie beyond
        raise ValueError("a number in it is not finite")
    return np.float32(math.ldexp(np.float64(mantissa), exponent)), at


@compiled
def _column(data: NDArray[np.uint8], at: int, out: NDArray[np.float32]) -> int:
    """Read a column vector of the length of ``out`` into it and give the position after it."""
    at = _expect(data, at, -out.size)
    at = _expect(data, at, -1)
    for i in range(out.size):
        out[i], at = _real(data, at)
    return at


@compiled
def _parse(data: NDArray[np.uint8]) -> tuple[NDArray[Any], ...]:
    at = _expect(data, 0, 1)  # version of the format
    rows, _ = _integer(data, at)
    if rows > -2 or rows < -_LARGEST_SIZE or rows % 2:
        raise ValueError("it does not begin with a shape")
    shape = np.empty(-rows, np.float32)
    at = _column(data, at, shape)

    # The first level, and the first tree of the first level, give the lengths that all others must have.
    n_levels, at = _size(data, at)
    n_trees, after = _size(data, at)
    n_splits, _ = _size(data, after)
    if (n_splits + 1) & n_splits:
        raise ValueError("its trees are not full")
    if n_levels * n_trees * (n_splits + 1) * shape.size > data.size:  # a leaf's number takes two bytes or more
        raise ValueError("it is cut off")
    pixels = np.empty((n_levels, n_trees, n_splits, 2), np.int64)
    thresholds = np.empty((n_levels, n_trees, n_splits), np.float32)
    leaves = np.empty((n_levels, n_trees, n_splits + 1, shape.size), np.float32)
    for level in range(n_levels):
        at = _expect(data, at, n_trees)
        for tree in range(n_trees):
            at = _expect(data, at, n_splits)
            for split in range(n_splits):
                pixels[level, tree, split, 0], at = _integer(data, at)
                pixels[level, tree, split, 1], at = _integer(data, at)
                thresholds[level, tree, split], at = _real(data, at)
            at = _expect(data, at, n_splits + 1)
            for leaf in range(n_splits + 1):
                at = _column(data, at, leaves[level, tree, leaf])

    at = _expect(data, at, n_levels)
    n_positions, _ = _size(data, at)
    if n_levels * n_positions > data.size:
        raise ValueError("it is cut off")
    anchors = np.empty((n_levels, n_positions), np.int64)
    deltas = np.empty((n_levels, n_positions, 2), np.float32)
    for level in range(n_levels):
        at = _expect(data, at, n_positions)
        for i in range(n_positions):
            anchors[level, i], at = _integer(data, at)
    at = _expect(data, at, n_levels)
    for level in range(n_levels):
        at = _expect(data, at, n_positions)
        for i in range(n_positions):
            deltas[level, i, 0], at = _real(data, at)
            deltas[level, i, 1], at = _real(data, at)
    if at != data.size:
        raise ValueError("something follows its end")
    if pixels.min() < 0 or anchors.min() < 0:
        raise ValueError("a position in it is negative")
    return shape, pixels, thresholds, leaves, anchors, deltas
