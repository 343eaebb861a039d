"""The kernels of :mod:`fakeemo.regression_trees`, in Numba, and the machine code that they become.

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

What lets them run without Numba: they raise no errors and allocate nothing, so that no call into it is left.
"""

import math
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import carray, types
from numpy.typing import NDArray

from fakeemo.errors import FakeemoError

Reals = NDArray[np.float32]
Grey = NDArray[np.uint8]
Whole = NDArray[np.integer]

_ENTRY = "predict_shapes"  # its name in the machine code
# Division follows IEEE 754 and raises no error. Without Numba's own run time, arrays are not reference-counted.
_compiled: Callable[[Callable[..., Any]], Callable[..., Any]] = numba.njit(nogil=True, error_model="numpy", _nrt=False)


def machine_code(machine: llvm.TargetMachine) -> bytes:
    """Compile :func:`_predict_shapes` to an object file for a machine.

    Raises :class:`FakeemoError` if it would need anything of Numba's, which another version of Numba may bring about.
    """
    entry = numba.cfunc(_SIGNATURE, error_model="numpy")(_predict_shapes)
    module = llvm.parse_assembly(entry.inspect_llvm())
    module.get_function(entry.native_name).name = _ENTRY
    # Numba leaves every function open to callers from elsewhere, and so cannot see that none ever fails. Once they
    # are closed, the optimiser does, and drops what would tell Python of an error.
    for symbol in (*module.functions, *module.global_variables):
        if not symbol.is_declaration and symbol.name != _ENTRY:
            symbol.linkage = "internal"
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(module, passes)
    missing = [function.name for function in module.functions if function.is_declaration]
    missing = [name for name in missing if not name.startswith("llvm.")]
    if missing:
        raise FakeemoError(
            f"Numba {numba.__version__} makes landmark kernels that need {missing[0]};"
            " install the versions of requirements.lock, or write landmarks.engine: dlib"
        )
    code: bytes = machine.emit_object(module)
    return code


@_compiled
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


@_compiled
def _grey_levels(
    frames: Grey,
    height: int,
    width: int,
    boxes: Whole,
    frame_of_box: Whole,
    shapes: Reals,
    reference: Reals,
    anchors: Whole,
    deltas: Reals,
    positions: Reals,
    place: Whole,
    grey: Grey,
) -> None:
    """Look up the grey levels (F, n) at a level's pixel positions, which move with the shapes (n, 2 P).

    There may be columns behind those of the n boxes; they stay as they are. ``positions`` (2, F) and ``place`` (F,)
    are scratch.
    """
    n_positions = len(anchors)
    x, y = positions[0], positions[1]
    for i in range(len(boxes)):
        frame, shape = frames[frame_of_box[i]], shapes[i]
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


@_compiled
def _reach(grey: Grey, splits: Whole, thresholds: Whole, reached: Whole) -> None:
    """Find the leaf (T, n) of each tree of a level that each box reaches.

    At a split, a box goes left if the first grey level exceeds the second by more than the threshold. All boxes try
    all splits, one split after the other, and those that stand there move on: more comparisons than walking down
    takes, but dozens of boxes in one instruction. What fills up the last vector walks along.
    """
    n_trees, n_splits = thresholds.shape
    for t in range(n_trees):
        node = reached[t]
        for i in range(node.size):
            node[i] = 0
        for split in range(n_splits):
            first, second = grey[splits[t, 2 * split]], grey[splits[t, 2 * split + 1]]
            threshold, here, right = thresholds[t, split], np.uint16(split), np.uint16(2 * split + 2)
            for i in range(node.size):
                left = np.int16(np.int16(first[i]) - np.int16(second[i])) > threshold
                child = np.uint16(right - np.uint16(left))
                node[i] = child if node[i] == here else node[i]
        for i in range(node.size):
            node[i] -= np.uint16(n_splits)


@_compiled
def _add_leaves(shapes: Reals, reached: Whole, leaves: Reals) -> None:
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
            shape, leaf = shapes[i], leaves[t, reached[t, i]]
            for k in range(shape.size):
                shape[k] += leaf[k]


@_compiled
def _to_image(shapes: Reals, boxes: Whole, points: Reals) -> None:
    """Map shapes (n, 2 P) from their boxes to the image, as points (n, P, 2) in pixels."""
    for i in range(len(boxes)):
        for j in range(points.shape[1]):
            for axis in range(2):
                exact = float(shapes[i, 2 * j + axis]) * (boxes[i, 2 + axis] - 1) + boxes[i, axis]
                point = np.float32(exact)
                # Single precision can lift 99.49999999 to 99.5, which rounds to another pixel than dlib's.
                if math.floor(float(point) + 0.5) > math.floor(exact + 0.5):
                    point = np.float32(point - abs(point) * 2.0**-23)  # the next ones below
                points[i, j, axis] = point


def _predict_shapes(
    sizes_at: int,
    frames_at: int,
    boxes_at: int,
    frame_of_box_at: int,
    initial_shape_at: int,
    anchors_at: int,
    deltas_at: int,
    splits_at: int,
    thresholds_at: int,
    leaves_at: int,
    positions_at: int,
    place_at: int,
    grey_at: int,
    reached_at: int,
    shapes_at: int,
    points_at: int,
) -> None:
    """Take the shapes of a batch of boxes through all levels and map them to the image.

    Each argument is the address of a contiguous array; the sizes, int64, are in the order in which they are read here.
    Those from ``positions`` to ``reached`` are scratch; ``shapes`` holds the initial shapes; ``points`` is the result.
    """
    sizes = carray(sizes_at, (10,))
    n_frames, height, width = sizes[0], sizes[1], sizes[2]
    n_boxes, n_columns = sizes[3], sizes[4]
    n_points, n_positions, n_levels, n_trees, n_splits = sizes[5], sizes[6], sizes[7], sizes[8], sizes[9]
    frames = carray(frames_at, (n_frames, height * width))
    boxes = carray(boxes_at, (n_boxes, 4))
    frame_of_box = carray(frame_of_box_at, (n_boxes,))
    initial_shape = carray(initial_shape_at, (n_points, 2))
    anchors = carray(anchors_at, (n_levels, n_positions))
    deltas = carray(deltas_at, (n_levels, n_positions, 2))
    splits = carray(splits_at, (n_levels, n_trees, 2 * n_splits))
    thresholds = carray(thresholds_at, (n_levels, n_trees, n_splits))
    leaves = carray(leaves_at, (n_levels, n_trees, n_splits + 1, 2 * n_points))
    positions = carray(positions_at, (2, n_positions))
    place = carray(place_at, (n_positions,))
    grey = carray(grey_at, (n_positions, n_columns))
    reached = carray(reached_at, (n_trees, n_columns))
    shapes = carray(shapes_at, (n_boxes, 2 * n_points))
    points = carray(points_at, (n_boxes, n_points, 2))
    for level in range(n_levels):
        _grey_levels(
            frames,
            height,
            width,
            boxes,
            frame_of_box,
            shapes,
            initial_shape,
            anchors[level],
            deltas[level],
            positions,
            place,
            grey,
        )
        _reach(grey, splits[level], thresholds[level], reached)
        _add_leaves(shapes, reached, leaves[level])
    _to_image(shapes, boxes, points)


_SIGNATURE = types.void(
    types.CPointer(types.int64),  # sizes
    types.CPointer(types.uint8),  # frames
    types.CPointer(types.int64),  # boxes
    types.CPointer(types.int64),  # frame_of_box
    types.CPointer(types.float32),  # initial_shape
    types.CPointer(types.uint16),  # anchors
    types.CPointer(types.float32),  # deltas
    types.CPointer(types.uint16),  # splits
    types.CPointer(types.int16),  # thresholds
    types.CPointer(types.float32),  # leaves
    types.CPointer(types.float32),  # positions
    types.CPointer(types.int32),  # place
    types.CPointer(types.uint8),  # grey
    types.CPointer(types.uint16),  # reached
    types.CPointer(types.float32),  # shapes
    types.CPointer(types.float32),  # points
)
