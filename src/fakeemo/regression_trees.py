"""An ensemble of regression trees (Kazemi and Sullivan 2014, the paper's [12]) over many face boxes at once.

dlib takes one box through all trees, and so fetches leaves from all over 65 MB of memory for every box. Here a few
trees see all boxes of a batch before the next trees do: their leaves are fetched once. The result is dlib's, to
the pixel, which rests on computing in single precision where dlib does, in double where dlib does, and adding
in its order: similarities in double and then rounded to single, positions in the face box in single, positions
in the image in double, leaves in the order of the trees. ``fastmath`` would break all of that.

What keeps the kernels fast, and raises no error when lost: contiguous arrays, rows taken out of them once (and not
element by element), unsigned indices in the trees' inner loop (Numba tests signed ones for being negative).
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fakeemo.shape_predictor import ShapePredictor, compiled

BATCH = 128  # boxes at once: their shapes and grey levels stay in the second-level cache

Reals = NDArray[np.float32]
Grey = NDArray[np.uint8]
Whole = NDArray[np.integer]
Predict = Callable[[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]


def batched(predictor: ShapePredictor) -> Predict:
    """Give a function that predicts the shapes of many faces at once.

    Its arguments are grey frames (frames, height, width), boxes (n, 4) of x, y, w, h in whole pixels and the
    index (n,) of each box's frame; it gives (n, P, 2), the x and y of each point in pixels of the frame.
    """
    n_levels, n_trees, n_splits = predictor.thresholds.shape
    splits = np.ascontiguousarray(predictor.pixels.reshape(n_levels, n_trees, 2 * n_splits))
    # For whole numbers, d > t and d > floor(t) are the same; d lies in -255..255.
    thresholds = np.clip(np.floor(predictor.thresholds), -256, 255).astype(np.int16)

    def predict(
        frames: NDArray[np.uint8], boxes: NDArray[np.int64], frame_of_box: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        points = np.empty((len(boxes), *predictor.initial_shape.shape), np.float32)
        for first in range(0, len(boxes), BATCH):
            batch = slice(first, first + BATCH)
            shapes = np.tile(predictor.initial_shape.ravel(), (len(boxes[batch]), 1))
            for level in range(n_levels):
                grey = _grey_levels(
                    frames,
                    boxes[batch],
                    frame_of_box[batch],
                    shapes,
                    predictor.initial_shape,
                    predictor.anchors[level],
                    predictor.deltas[level],
                )
                reached = _reached(grey, splits[level], thresholds[level])
                _add_leaves(shapes, reached, predictor.leaves[level])
            _to_image(shapes, boxes[batch], points[batch])
        return points

    return predict


@compiled
def _similarity(reference: Reals, shape: Reals) -> tuple[np.float32, np.float32]:
    """Give (a, b) of the rotation and scaling [[a, -b], [b, a]] that best takes reference (P, 2) to shape (2 P).

    It is the least-squares similarity of Umeyama (1991), which dlib computes, in closed form for the plane.
    """
    n = len(reference)
    mean_x = mean_y = mean_u = mean_v = 0.0
    for i in range(n):
        mean_x += reference[i, 0]
        mean_y += reference[i, 1]
        mean_u += shape[2 * i]
        mean_v += shape[2 * i + 1]
    mean_x, mean_y, mean_u, mean_v = mean_x / n, mean_y / n, mean_u / n, mean_v / n
    norm = dot = cross = 0.0
    for i in range(n):
        x, y = reference[i, 0] - mean_x, reference[i, 1] - mean_y
        u, v = shape[2 * i] - mean_u, shape[2 * i + 1] - mean_v
        norm += x * x + y * y
        dot += x * u + y * v
        cross += x * v - y * u
    return np.float32(dot / norm), np.float32(cross / norm)


@compiled
def _grey_levels(
    frames: Grey, boxes: Whole, frame_of_box: Whole, shapes: Reals, reference: Reals, anchors: Whole, deltas: Reals
) -> Grey:
    """Look up the grey levels (n, F) at a level's pixel positions, which move with the shapes (n, 2 P)."""
    grey = np.empty((len(boxes), len(anchors)), np.uint8)
    for i in range(len(boxes)):
        frame, shape, row = frames[frame_of_box[i]], shapes[i], grey[i]
        height, width = frame.shape
        left, top = float(boxes[i, 0]), float(boxes[i, 1])
        scale_x, scale_y = float(boxes[i, 2] - 1), float(boxes[i, 3] - 1)
        a, b = _similarity(reference, shape)
        for j in range(len(anchors)):
            anchor = 2 * np.intp(anchors[j])
            dx, dy = deltas[j, 0], deltas[j, 1]
            x = a * dx - b * dy + shape[anchor]
            y = b * dx + a * dy + shape[anchor + 1]
            column = math.floor(float(x) * scale_x + left + 0.5)
            line = math.floor(float(y) * scale_y + top + 0.5)
            row[j] = frame[line, column] if 0 <= column < width and 0 <= line < height else 0
    return grey


@compiled
def _leaf(grey: Grey, splits: Whole, thresholds: Whole) -> int:
    """Walk a tree: left where the first grey level exceeds the second by more than the threshold."""
    node = 0
    while node < thresholds.size:
        first = grey[splits[np.uintp(2 * node)]]
        second = grey[splits[np.uintp(2 * node + 1)]]
        # A sum and not an if: the processor would guess wrong half of the time.
        node = 2 * node + 2 - (np.intp(first) - np.intp(second) > thresholds[np.uintp(node)])
    return node - thresholds.size


@compiled
def _reached(grey: Grey, splits: Whole, thresholds: Whole) -> NDArray[np.uint16]:
    """Give the leaf (n, T) that each box reaches in each tree of a level."""
    n_trees = len(splits)
    reached = np.empty((len(grey), n_trees), np.uint16)
    whole = n_trees - n_trees % 4
    for t in range(0, whole, 4):  # four trees at once, since their walks overlap in the processor
        splits_0, splits_1, splits_2, splits_3 = splits[t], splits[t + 1], splits[t + 2], splits[t + 3]
        above_0, above_1, above_2, above_3 = thresholds[t], thresholds[t + 1], thresholds[t + 2], thresholds[t + 3]
        for i in range(len(grey)):
            levels, row = grey[i], reached[i]
            row[t] = _leaf(levels, splits_0, above_0)
            row[t + 1] = _leaf(levels, splits_1, above_1)
            row[t + 2] = _leaf(levels, splits_2, above_2)
            row[t + 3] = _leaf(levels, splits_3, above_3)
    for t in range(whole, n_trees):
        for i in range(len(grey)):
            reached[i, t] = _leaf(grey[i], splits[t], thresholds[t])
    return reached


@compiled
def _add_leaves(shapes: Reals, reached: NDArray[np.uint16], leaves: Reals) -> None:
    """Add to each shape (n, 2 P) the leaves that it reached, in the order of the trees."""
    n_trees = len(leaves)
    whole = n_trees - n_trees % 4
    for t in range(0, whole, 4):  # four trees at once, since a shape is then read and written once for four
        for i in range(len(shapes)):
            shape, row = shapes[i], reached[i]
            leaf_0, leaf_1 = leaves[t, row[t]], leaves[t + 1, row[t + 1]]
            leaf_2, leaf_3 = leaves[t + 2, row[t + 2]], leaves[t + 3, row[t + 3]]
            for k in range(shape.size):
                shape[k] = (((shape[k] + leaf_0[k]) + leaf_1[k]) + leaf_2[k]) + leaf_3[k]
    for t in range(whole, n_trees):
        for i in range(len(shapes)):
            shapes[i] += leaves[t, reached[i, t]]


@compiled
def _to_image(shapes: Reals, boxes: Whole, points: Reals) -> None:
    """Map shapes (n, 2 P) from their boxes to the image, as points (n, P, 2) in pixels."""
    for i in range(len(boxes)):
        for j in range(points.shape[1]):
            for axis in range(2):
                exact = float(shapes[i, 2 * j + axis]) * (boxes[i, 2 + axis] - 1) + boxes[i, axis]
                point = np.float32(exact)
                # Single precision can lift 99.49999999 to 99.5, which rounds to another pixel than dlib's.
                if math.floor(float(point) + 0.5) > math.floor(exact + 0.5):
                    point = np.nextafter(point, np.float32(-np.inf))
                points[i, j, axis] = point
