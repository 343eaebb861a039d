"""An ensemble of regression trees (Kazemi and Sullivan 2014) over many face boxes at once.

dlib walks all trees for one box, and so streams the leaves, 65 MB, through the cache for every box. Here a tree
is walked for all boxes of a batch before the next: its leaves are fetched once. Results are those of dlib to the
last bit that its own output shows, which rests on where it computes in single and where in double precision.
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from fakeemo.shape_predictor import ShapePredictor

BATCH = 128  # boxes; the working set of a batch (shapes, grey levels) stays in the second-level cache


def batched_predictor(predictor: ShapePredictor):
    def predict(frames, boxes, frame_of_box=None):
        frames = np.ascontiguousarray(frames.reshape(-1, *frames.shape[-2:]))
        boxes = np.ascontiguousarray(boxes, np.int64)
        if frame_of_box is None:
            frame_of_box = np.zeros(len(boxes), np.int64)
        points = np.empty((len(boxes), len(predictor.initial_shape), 2), np.float32)
        for i in range(0, len(boxes), BATCH):
            part = slice(i, i + BATCH)
            _predict(frames, boxes[part], frame_of_box[part], *predictor[:-1], points[part])
        return points

    return predict


@numba.njit(cache=True, nogil=True)
def _similarity(reference, shape):
    """Give the rotation and scale (a, b) of the least-squares similarity from reference to shape."""
    n = len(reference)
    mx = my = nx = ny = 0.0
    for i in range(n):
        mx += reference[i, 0]
        my += reference[i, 1]
        nx += shape[2 * i]
        ny += shape[2 * i + 1]
    mx /= n
    my /= n
    nx /= n
    ny /= n
    norm = dot = cross = 0.0
    for i in range(n):
        x = np.float64(reference[i, 0]) - mx
        y = np.float64(reference[i, 1]) - my
        u = np.float64(shape[2 * i]) - nx
        v = np.float64(shape[2 * i + 1]) - ny
        norm += x * x + y * y
        dot += x * u + y * v
        cross += x * v - y * u
    return np.float32(dot / norm), np.float32(cross / norm)


@numba.njit(cache=True, nogil=True)
def _sample(frame, box, a, b, shape, anchors, deltas, grey):
    x0, y0 = np.float64(box[0]), np.float64(box[1])
    sx, sy = np.float64(box[2] - 1), np.float64(box[3] - 1)
    height, width = frame.shape
    for i in range(len(anchors)):
        k = 2 * np.intp(anchors[i])
        x = a * deltas[i, 0] - b * deltas[i, 1] + shape[k]
        y = b * deltas[i, 0] + a * deltas[i, 1] + shape[k + 1]
        c = np.intp(math.floor(np.float64(x) * sx + x0 + 0.5))
        r = np.intp(math.floor(np.float64(y) * sy + y0 + 0.5))
        if 0 <= c < width and 0 <= r < height:
            grey[i] = frame[r, c]
        else:
            grey[i] = 0


@numba.njit(cache=True, nogil=True)
def _predict(frames, boxes, frame_of_box, initial, pixels, thresholds, leaves, anchors, deltas, points):
    n, (n_levels, n_trees, n_splits) = len(boxes), thresholds.shape
    shapes = np.empty((n, 2 * len(initial)), np.float32)
    for i in range(n):
        shapes[i] = initial.ravel()
    grey = np.empty((n, anchors.shape[1]), np.int16)
    for level in range(n_levels):
        for i in range(n):
            a, b = _similarity(initial, shapes[i])
            _sample(frames[frame_of_box[i]], boxes[i], a, b, shapes[i], anchors[level], deltas[level], grey[i])
        for tree in range(n_trees):
            tp = pixels[level, tree]
            tt = thresholds[level, tree]
            tl = leaves[level, tree]
            for i in range(n):
                g = grey[i]
                k = 0
                while k < n_splits:
                    if np.float32(g[tp[k, 0]] - g[tp[k, 1]]) > tt[k]:
                        k = 2 * k + 1
                    else:
                        k = 2 * k + 2
                leaf = tl[k - n_splits]
                shape = shapes[i]
                for j in range(shape.size):
                    shape[j] += leaf[j]
    for i in range(n):
        for j in range(len(initial)):
            for axis in range(2):
                v = np.float64(shapes[i, 2 * j + axis]) * (boxes[i, 2 + axis] - 1) + boxes[i, axis]
                points[i, j, axis] = v
