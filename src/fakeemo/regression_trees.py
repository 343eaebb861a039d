"""An ensemble of regression trees (Kazemi and Sullivan 2014, the paper's [12]) over many face boxes at once.

The kernels are in :mod:`fakeemo.tree_kernels`, which says how they work. Numba compiles them once; their machine code
is kept in the cache folder and run from there without Numba, whose import takes as long as a job on a short video.
"""

import ctypes
import hashlib
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numpy.typing import NDArray

from fakeemo.files import cache_folder, replacing
from fakeemo.shape_predictor import ShapePredictor

BATCH = 256  # boxes at once: their shapes and grey levels stay in the second-level cache
_DIGEST = hashlib.sha256().digest_size
_VECTOR = 32  # boxes are looked at in such groups, the last one filled up: what is left over would go one by one

Predict = Callable[[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]


def batched(predictor: ShapePredictor) -> Predict:
    """Give a function that predicts the shapes of many faces at once.

    Its arguments are grey frames (frames, height, width), boxes (n, 4) of x, y, w, h in whole pixels and the
    index (n,) of each box's frame; it gives (n, P, 2), the x and y of each point in pixels of the frame. It raises
    :class:`ValueError` if a box has no frame.
    """
    n_levels, n_trees, n_splits = predictor.thresholds.shape
    n_points, n_positions = len(predictor.initial_shape), predictor.anchors.shape[1]
    ensemble = (
        _array(predictor.initial_shape, np.float32),
        _array(predictor.anchors, np.uint16),
        _array(predictor.deltas, np.float32),
        _array(predictor.pixels, np.uint16),
        # For whole numbers, d > t and d > floor(t) are the same; d lies in -255..255.
        _array(np.clip(np.floor(predictor.thresholds), -256, 255), np.int16),
        _array(predictor.leaves, np.float32),
    )
    kernel = _kernel()

    def predict(
        frames: NDArray[np.uint8], boxes: NDArray[np.int64], frame_of_box: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        frames = _array(frames, np.uint8)
        if frame_of_box.shape != (len(boxes),) or not np.isin(frame_of_box, np.arange(len(frames))).all():
            raise ValueError("each box needs the index of its frame")
        points = np.empty((len(boxes), n_points, 2), np.float32)
        scratch = (
            np.empty((2, n_positions), np.float32),
            np.empty(n_positions, np.int32),
            np.zeros((n_positions, BATCH), np.uint8),
            np.empty((n_trees, BATCH), np.uint16),
        )
        for first in range(0, len(boxes), BATCH):
            batch = slice(first, first + BATCH)
            n_boxes = len(boxes[batch])
            n_columns = (n_boxes + _VECTOR - 1) // _VECTOR * _VECTOR
            sizes = (*frames.shape, n_boxes, n_columns, n_points, n_positions, n_levels, n_trees, n_splits)
            arrays = (
                np.array(sizes, np.int64),
                frames,
                _array(boxes[batch], np.int64),
                _array(frame_of_box[batch], np.int64),
                *ensemble,
                *scratch,
                np.tile(predictor.initial_shape.ravel(), (n_boxes, 1)),
                points[batch],
            )
            kernel(*(array.ctypes.data for array in arrays))
        return points

    return predict


def _array(values: NDArray[Any], dtype: type) -> NDArray[Any]:
    """Give an array as the kernels take it, which see addresses alone."""
    return np.require(values, dtype, ["C_CONTIGUOUS", "ALIGNED"])


@cache
def _kernel() -> Callable[..., None]:
    """Load the kernels from the cache folder; compile them if this code is not there for this processor."""
    machine = this_machine()
    source = Path(__file__).with_name("tree_kernels.py").read_text(encoding="utf-8")
    processor = f"{machine.triple} {llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"
    identity = "\n".join((source, version("numba"), version("llvmlite"), processor))
    cached = cache_folder() / f"kernels-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.o"
    code = _whole(cached)
    if code is None:
        from fakeemo import tree_kernels  # here, since it brings Numba

        code = tree_kernels.machine_code(machine)
        with replacing(cached) as temporary:
            temporary.write_bytes(hashlib.sha256(code).digest() + code)
    return loaded(code, machine)


def this_machine() -> llvm.TargetMachine:
    """Describe the processor that this runs on to LLVM."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    processor, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_default_triple().create_target_machine(processor, features, opt=3, jit=True)


def _whole(cached: Path) -> bytes | None:
    """Read machine code that stands behind its own hash; give nothing if it is not there, or damaged."""
    try:
        content = cached.read_bytes()
    except OSError:
        return None
    code = content[_DIGEST:]
    return code if hashlib.sha256(code).digest() == content[:_DIGEST] else None


def loaded(code: bytes, machine: llvm.TargetMachine) -> Callable[..., None]:
    """Make an object file of :func:`fakeemo.tree_kernels.machine_code` callable; its arguments are addresses."""
    linker = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    linker.add_object_file(llvm.ObjectFileRef.from_data(code))
    linker.finalize_object()
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 16)(linker.get_function_address("predict_shapes"))

    def kernel(*addresses: int, _keep: object = linker) -> None:  # the code goes when the linker goes
        function(*addresses)

    return kernel
