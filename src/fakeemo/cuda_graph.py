"""Work that a GPU does over and over, captured once as a CUDA graph and replayed.

A pass over a sequence is a hundred thousand kernels of a few microseconds each, one after the other, and Python is
slower at launching them than a GPU at running them. A graph launches all of them at once.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Work = Callable[..., Sequence[Tensor]]
"""From tensors to tensors on one device: the same kernels each time for inputs of the same shapes, and no waiting."""

_MOST = 8  # graphs kept at a time


@dataclass(frozen=True)
class _Captured:
    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    outputs: list[Tensor]


class Replayed:
    """``work`` that is captured when inputs of some shapes come for the second time, and replayed from then on.

    The first time does what a capture cannot, such as choosing algorithms. On the CPU nothing is captured. Where memory
    runs out, all graphs are given up, and torch's error is raised.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self._seen: dict[tuple[torch.Size, ...], _Captured | None] = {}
        self._room: tuple[torch.cuda.Stream, Any] | None = None

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        """Give what ``work`` gives for these inputs, in tensors that later calls leave alone."""
        if inputs[0].device.type != "cuda":
            return self.work(*inputs)
        try:
            return self._on_gpu(inputs)
        except torch.OutOfMemoryError:
            self._seen, self._room = {}, None
            raise

    def _on_gpu(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        shapes = tuple(tensor.shape for tensor in inputs)
        if shapes not in self._seen:
            outputs = self.work(*inputs)
            if len(self._seen) == _MOST:
                del self._seen[next(iter(self._seen))]
            self._seen[shapes] = None
            return outputs
        captured = self._seen.pop(shapes) or self._capture(inputs)
        self._seen[shapes] = captured  # now the last to be given up
        for buffer, tensor in zip(captured.inputs, inputs, strict=True):
            buffer.copy_(tensor)
        captured.graph.replay()
        return [tensor.clone() for tensor in captured.outputs]

    def _capture(self, inputs: Sequence[Tensor]) -> _Captured:
        # All graphs work in the same memory: none needs what it left there, and outputs are copied at once.
        if self._room is None:
            self._room = torch.cuda.Stream(), torch.cuda.graph_pool_handle()  # type: ignore[no-untyped-call]
        stream, pool = self._room
        graph, buffers = torch.cuda.CUDAGraph(), [tensor.detach().clone() for tensor in inputs]
        with torch.cuda.stream(stream), torch.cuda.graph(graph, pool=pool, stream=stream):
            outputs = list(self.work(*buffers))
        return _Captured(graph, buffers, outputs)


def shared_length(length: int, longest: int, step: int = 64) -> int:
    """Give the next multiple of ``step`` frames below ``longest``: clips of many lengths then share a few graphs."""
    return min(math.ceil(length / step) * step, longest)
