"""An ensemble of regression trees (Kazemi and Sullivan 2014, the paper's [12]) over many face boxes at once.

dlib takes one box through all trees, and so fetches leaves from all over 65 MB of memory for every box. Here a few
trees see all boxes of a batch before the next trees do: their leaves are fetched once. The result is dlib's, to
the pixel, which rests on computing in single precision where dlib does, in double where dlib does, and adding
in its order: similarities in double and then rounded to single, positions in the face box in single, positions
in the image in double, leaves in the order of the trees. ``fastmath`` would break all of that.

What keeps the kernels fast, and raises no error when lost: contiguous arrays; rows taken out of them once (and not
element by element); inner loops that the compiler turns into vector instructions, so without branches, and without
reading at looked-up places where they write, on numbers as narrow as will do, and as many as fill whole vectors;
unsigned indices where it does not (Numba tests signed ones for being negative); leaves that begin at a multiple of 32
bytes (see :func:`fakeemo.shape_predictor.read`).
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fakeemo.shape_predictor import ShapePredictor, compiled

BATCH = 256  # boxes at once: their shapes and grey levels stay in the second-level cache
_VECTOR = 32  # boxes are looked at in such groups, the last one filled up: what is left over would go one by one

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
    """Look up the grey levels (F, n) at a level's pixel positions, which move with the shapes (n, 2 P).

    There are columns without a meaning behind those of the n boxes, up to whole vectors.
    """
    n_positions = len(anchors)
    grey = np.empty((n_positions, (len(boxes) + _VECTOR - 1) // _VECTOR * _VECTOR), np.uint8)
    x, y = np.empty(n_positions, np.float32), np.empty(n_positions, np.float32)
    place = np.empty(n_positions, np.int32)
    height, width = frames.shape[1:]
    for i in range(len(boxes)):
        frame, shape = frames[frame_of_box[i]].ravel(), shapes[i]
        left, top = float(boxes[i, 0]), float(boxes[i, 1])
        scale_x, scale_y = float(boxes[i, 2] - 1), float(boxes[i, 3] - 1)
        a, b = _similarity(reference, shape)
        # Three loops and not one: only the second can go through the vector unit, which doubles its speed.
        for j in range(n_positions):
            anchor = 2 * np.uintp(anchors[j])
            dx, dy = deltas[j, 0], deltas[j, 1]
            x[j] = a * dx - b * dy + shape[anchor]
            y[j] = b * dx + a * dy + shape[anchor + np.uintp(1)]
        for j in range(n_positions):
            column = np.floor(float(x[j]) * scale_x + left + 0.5)
            line = np.floor(float(y[j]) * scale_y + top + 0.5)
            inside = (column >= 0) & (column < width) & (line >= 0) & (line < height)
            place[j] = np.int32(line * width + column if inside else -1.0)
        for j in range(n_positions):
            grey[j, i] = frame[np.uintp(place[j])] if place[j] >= 0 else 0
    return grey


@compiled
def _reached(grey: Grey, splits: Whole, thresholds: Whole) -> NDArray[np.uint16]:
    """Give the leaf (T, n) of each tree of a level that each box reaches.

    At a split, a box goes left if the first grey level exceeds the second by more than the threshold. All boxes try
    all splits, one split after the other, and those that stand there move on: more comparisons than walking down
    takes, but dozens of boxes in one instruction. What fills up the last vector walks along.
    """
    n_trees, n_splits = thresholds.shape
    reached = np.zeros((n_trees, grey.shape[1]), np.uint16)
    for t in range(n_trees):
        node = reached[t]
        for split in range(n_splits):
            first, second = grey[splits[t, 2 * split]], grey[splits[t, 2 * split + 1]]
            threshold, here, right = thresholds[t, split], np.uint16(split), np.uint16(2 * split + 2)
            for i in range(node.size):
                left = np.int16(np.int16(first[i]) - np.int16(second[i])) > threshold
                child = np.uint16(right - np.uint16(left))
                node[i] = child if node[i] == here else node[i]
        for i in range(node.size):
            node[i] -= np.uint16(n_splits)
    return reached


@compiled
def _add_leaves(shapes: Reals, reached: NDArray[np.uint16], leaves: Reals) -> None:
    """Add to each shape (n, 2 P) the leaves that it reached, in the order of the trees."""
    n_trees = len(leaves)
    whole = n_trees - n_trees % 8
    for t in range(0, whole, 8):  # eight trees at once, since a shape is then read and written once for eight
        reached_0, reached_1, reached_2, reached_3 = reached[t], reached[t + 1], reached[t + 2], reached[t + 3]
        reached_4, reached_5, reached_6, reached_7 = reached[t + 4], reached[t + 5], reached[t + 6], reached[t + 7]
        leaves_0, leaves_1, leaves_2, leaves_3 = leaves[t], leaves[t + 1], leaves[t + 2], leaves[t + 3]
        leaves_4, leaves_5, leaves_6, leaves_7 = leaves[t + 4], leaves[t + 5], leaves[t + 6], leaves[t + 7]
        for i in range(len(shapes)):
            shape = shapes[i]
            a, b, c, d = leaves_0[reached_0[i]], leaves_1[reached_1[i]], leaves_2[reached_2[i]], leaves_3[reached_3[i]]
            e, f, g, h = leaves_4[reached_4[i]], leaves_5[reached_5[i]], leaves_6[reached_6[i]], leaves_7[reached_7[i]]
            for k in range(shape.size):
                shape[k] = (((((((shape[k] + a[k]) + b[k]) + c[k]) + d[k]) + e[k]) + f[k]) + g[k]) + h[k]
    for t in range(whole, n_trees):
        for i in range(len(shapes)):
            shapes[i] += leaves[t, reached[t, i]]


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
