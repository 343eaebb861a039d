"""What a training that was killed goes on from: one safetensors file, with everything that is no tensor as JSON in it.

A checkpoint belongs to a fingerprint, a hash of all that decides the result. One of another fingerprint is not used.
"""

import hashlib
import json
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fakeemo.files import replacing
from fakeemo.lstm_pb import LSTMPB

WRITING_SHARE = 0.05
"""Most of the time that goes into writing checkpoints: after a write that took 1 s, the next waits 20 s."""

_OPTIMISERS = ("optimiser", "pb_optimiser")
_FACTS = ("weight_rate", "pb_rate", "micro_batch", "untrained", "best_loss", "last_gain", "history")


@dataclass
class Learner:
    """All that changes while learning: what an epoch starts from.

    Attributes:
        model: the network.
        optimiser: of its weights, with what it keeps of earlier steps.
        pb: PB vectors, ``(vectors, pb)``.
        pb_optimiser: of ``pb``, likewise.
        random: decides order and draw of variants.
        micro_batch: sequences that the device's memory has room for.
        untrained: loss of the first batch before its step.
        best: weights after the epoch of lowest loss.
        best_loss: that loss.
        last_gain: the epoch of the last lower loss, or of the last decay of the rates.
        history: a row an epoch.
    """

    model: LSTMPB
    optimiser: torch.optim.Optimizer
    pb: Tensor
    pb_optimiser: torch.optim.Optimizer
    random: np.random.Generator
    micro_batch: int
    untrained: float = math.nan
    best: dict[str, Tensor] = field(default_factory=dict)
    best_loss: float = math.inf
    last_gain: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def weight_rate(self) -> float:
        """The present rate of the weights."""
        return float(self.optimiser.param_groups[0]["lr"])

    @weight_rate.setter
    def weight_rate(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    @property
    def pb_rate(self) -> float:
        """The present rate of equation 2."""
        return float(self.pb_optimiser.param_groups[0]["lr"])

    @pb_rate.setter
    def pb_rate(self, rate: float) -> None:
        for group in self.pb_optimiser.param_groups:
            group["lr"] = rate


def fingerprint(settings: Mapping[str, Any], *arrays: np.ndarray) -> str:
    """Give a hash of settings (what JSON can say) and data."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def save(learner: Learner, path: Path, mark: str) -> float:
    """Write a checkpoint in one step; give the time (of ``time.monotonic``) before which none should be written again.

    Args:
        learner: at the end of an epoch.
        path: the file; its folder is made where it is missing.
        mark: the fingerprint.
    """
    started = time.monotonic()
    tensors = {"pb": learner.pb, "generator": torch.get_rng_state()}
    tensors |= {f"model.{name}": tensor for name, tensor in learner.model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in learner.best.items()}
    # What SGD (momentum) and Adam (two moments, count of steps) keep of a parameter, by its number among them.
    for part in _OPTIMISERS:
        for number, state in getattr(learner, part).state_dict()["state"].items():
            tensors |= {f"{part}.{number}.{name}": torch.as_tensor(value) for name, value in state.items()}
    facts = {name: getattr(learner, name) for name in _FACTS}
    facts |= {"random": learner.random.bit_generator.state}
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        save_file(whole, temporary, {"fingerprint": mark, "facts": json.dumps(facts)})
    now = time.monotonic()
    return now + (now - started) / WRITING_SHARE


def restore(learner: Learner, path: Path, mark: str) -> None:
    """Bring a learner that has just begun to where a checkpoint was written, if there is one of this fingerprint."""
    for half in path.parent.glob(f".{path.stem}.*.tmp{path.suffix}"):  # of a process that was killed while it wrote
        half.unlink(missing_ok=True)
    if not path.exists():
        return
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            # Clones, for they lie in memory as torch's own tensors do and not as the file has them.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError) as error:
        print(f"{path} cannot be read ({error}): learning starts anew", flush=True)
        return
    if header.get("fingerprint") != mark:
        print(f"{path} is of other settings, code or data: learning starts anew", flush=True)
        return
    facts = json.loads(header["facts"])
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, **{part: {} for part in _OPTIMISERS}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        if rest:
            parts[part][rest] = tensor
    learner.model.load_state_dict(parts["model"])
    learner.best = {name: tensor.to(learner.pb.device) for name, tensor in parts["best"].items()}
    for part in _OPTIMISERS:
        kept = getattr(learner, part).state_dict()
        for name, tensor in parts[part].items():
            number, _, entry = name.partition(".")
            whole = tensor.dtype == torch.int64 and tensor.ndim == 0  # SparseAdam counts its steps in a Python number
            kept["state"].setdefault(int(number), {})[entry] = tensor.item() if whole else tensor
        getattr(learner, part).load_state_dict(kept)  # which knows what belongs on the device
    learner.pb.copy_(tensors["pb"])
    torch.set_rng_state(tensors["generator"])
    learner.random.bit_generator.state = facts["random"]
    for name in _FACTS:
        setattr(learner, name, facts[name])


@contextmanager
def termination_noted() -> Iterator[threading.Event]:
    """Set the event at SIGTERM, by which a cluster takes a node back, instead of ending there and then.

    A second SIGTERM has its usual effect.
    """
    told = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # Python lets no other set handlers
        yield told
        return

    def note(number: int, frame: FrameType | None) -> None:
        told.set()
        signal.signal(signal.SIGTERM, before)

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, before)
