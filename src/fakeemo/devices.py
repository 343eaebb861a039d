"""The device that a job of the network computes on: which, one job to each GPU, and what its running out of memory is.

Snakemake counts GPUs (``--resources gpu=2``) and does not say which one a job has, so jobs side by side would all take
the first. Here each takes one by a lock that the kernel releases when the process ends, however it ends.
"""

import fcntl
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import torch

from fakeemo.errors import FakeemoError

T = TypeVar("T")

_LOOK_AGAIN_S = 1.0


def choose_device(name: str) -> torch.device:
    """Give the kind of device that the config key ``device`` (auto, cuda, cpu) stands for.

    Raises:
        FakeemoError: if a GPU is asked for and torch sees none.
    """
    if name != "cpu" and torch.cuda.is_available():
        return torch.device("cuda")
    if name == "cuda":
        raise FakeemoError("config: device is 'cuda', but torch sees no CUDA device; set device: auto or cpu")
    return torch.device("cpu")


@contextmanager
def take(name: str) -> Iterator[torch.device]:
    """Give a device for as long as the block lasts: a GPU that no other job on this machine has, or the CPU.

    Waits for a GPU where all are taken. Only those that ``CUDA_VISIBLE_DEVICES`` leaves visible count, as set by hand
    or by a cluster. The GPU becomes torch's current one.

    Args:
        name: auto, cuda or cpu.

    Raises:
        FakeemoError: if a GPU is asked for and torch sees none.
    """
    if choose_device(name).type == "cpu":
        yield torch.device("cpu")
        return
    with first_free(uuids()) as i:
        torch.cuda.set_device(i)
        yield torch.device("cuda", i)


def uuids() -> list[str]:
    """Give what names each visible GPU whatever its number is: numbers depend on ``CUDA_VISIBLE_DEVICES``."""
    return [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]


@contextmanager
def first_free(names: Sequence[str]) -> Iterator[int]:
    """Hold the first of the named things that no other process of this user and machine holds; give its index."""
    folder = Path(tempfile.gettempdir()) / f"fakeemo-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as stack:
        locks = [stack.enter_context(open(folder / f"{name}.lock", "w")) for name in names]
        waiting = False
        while True:
            for i, lock in enumerate(locks):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield i
                return
            if not waiting:
                print(f"all GPUs ({len(names)}) are taken by other jobs of fakeemo; waiting for one", flush=True)
                waiting = True
            time.sleep(_LOOK_AGAIN_S)


def name_of(device: torch.device | str) -> str:
    """Give the model of a GPU, or ``cpu``."""
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else "cpu"


def out_of_memory(error: BaseException) -> bool:
    """Say whether ``error`` is what torch or Python raise where the device's memory does not suffice."""
    # On the CPU torch raises a bare RuntimeError, told by its text alone.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def that_fits(work: Callable[[int], T], size: int) -> tuple[T, int] | None:
    """Give what ``work`` gives for ``size``, halved as often as the device's memory asks for, and that size.

    Gives nothing where the memory does not suffice for a size of 1.
    """
    while True:
        try:
            return work(size), size
        except Exception as error:
            if not out_of_memory(error):
                raise
        if size == 1:  # outside of `except`, whose error holds on to what the failed attempt had
            return None
        size = math.ceil(size / 2)
        torch.cuda.empty_cache()
