"""The format of dlib's shape predictors (Kazemi and Sullivan 2014, the paper's [12]), read without dlib.

The file is a stream of integers and floats. An integer is a control byte (number of bytes that follow, its
highest bit the sign) and a little-endian magnitude; a float is two integers, mantissa and exponent of two; a
vector is its length and its elements; a column of a matrix is its two sizes, negated, and its elements.
Nothing in it is ever run: whatever does not fit this description ends in a :class:`ValueError`.

Numba compiles this first, which takes seconds: :mod:`fakeemo.shape_predictor` parses a model file once and imports this
module for that alone.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

# No list in a real predictor comes near. A wrong file must not make us ask for all memory, and 16 bits must hold the
# index of a pixel position, and that of a node in a tree with this many leaves.
_LARGEST_SIZE = 1 << 15

_compiled: Callable[[Callable[..., Any]], Callable[..., Any]] = numba.njit(nogil=True)


@_compiled
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


@_compiled
def _size(data: NDArray[np.uint8], at: int) -> tuple[np.intp, int]:
    size, at = _integer(data, at)
    if size < 1 or size > _LARGEST_SIZE:
        raise ValueError("a length in it makes no sense")
    return size, at


@_compiled
def _expect(data: NDArray[np.uint8], at: int, expected: int) -> int:
    """Read the integer ``expected`` and give the position after it."""
    value, at = _integer(data, at)
    if value != expected:
        raise ValueError("its version or one of its lengths is not the expected one")
    return at


@_compiled
def _real(data: NDArray[np.uint8], at: int) -> tuple[np.float32, int]:
    mantissa, at = _integer(data, at)
    exponent, at = _integer(data, at)
    if exponent < -1100 or exponent > 1023:  # dlib's marks for infinity and NaN lie beyond
        raise ValueError("a number in it is not finite")
    return np.float32(math.ldexp(np.float64(mantissa), exponent)), at


@_compiled
def _column(data: NDArray[np.uint8], at: int, out: NDArray[np.float32]) -> int:
    """Read a column vector of the length of ``out`` into it and give the position after it."""
    at = _expect(data, at, -out.size)
    at = _expect(data, at, -1)
    for i in range(out.size):
        out[i], at = _real(data, at)
    return at


@_compiled
def parse(data: NDArray[np.uint8]) -> tuple[NDArray[Any], ...]:
    """Give shape (2 P), pixels, thresholds, leaves, anchors and deltas of a predictor from the bytes of its file.

    They are as in :class:`fakeemo.shape_predictor.ShapePredictor`, but that positions are int64 and unchecked.
    Raises :class:`ValueError` if the bytes are not a whole shape predictor, from the first to the last.
    """
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
