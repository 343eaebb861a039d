"""Learning mode (sections 2.3.1 and 2.3.6): weights and PB vectors from labelled videos.

Two things are learned side by side. The weights follow the gradient of the mean square prediction error; each PB
vector follows equations 1-2: the error back-propagated to it, averaged over its sequence's time steps, is added at a
rate of its own. As the loss of a sequence is already the mean over its steps, ``-dE/dp`` *is* equation 1.
"""

import csv
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from fakeemo.errors import FakeemoError
from fakeemo.lstm_pb import CLASSES, LSTMPB, NetworkSettings, choose_device, prediction_error, save_network
from fakeemo.sequences import Sequences, load_sequences
from fakeemo.tables import replacing, software


@dataclass(frozen=True)
class LearningSettings:
    """How the network learns. The defaults are the paper's; ``momentum`` and the draw of sequences its authors' code's.

    Attributes:
        epochs: an epoch shows every training video once, in one of its variants drawn at random.
        batch_size: sequences to a step.
        weight_rate: learning rate of the weights.
        pb_rate: learning rate of the PB vectors (equation 2).
        momentum: of the weights' stochastic gradient descent.
        patience: epochs without a lower training loss after which both rates are divided by ``decay``.
        decay: see ``patience``.
        closed_loop: share of the network's own prediction in its input, 0 to 1.
        pb: ``class`` for one PB vector a label (section 2.3.1), ``sequence`` for one a video (equations 1-2), of which
            the class vectors are then the means.
        clip_norm: longest gradient of the weights that a step takes; 0 for no limit.
        segment: frames at a time for which the way back keeps what it needs, to train on long clips in little memory
            (:meth:`fakeemo.lstm_pb.LSTMPB.forward`); 0 keeps everything.
    """

    epochs: int = 100
    batch_size: int = 1
    weight_rate: float = 0.01
    pb_rate: float = 0.9
    momentum: float = 0.9
    patience: int = 10
    decay: float = 10.0
    closed_loop: float = 0.0
    pb: str = "class"
    clip_norm: float = 0.0
    segment: int = 0


def train(
    sequences: Sequences,
    labels: np.ndarray,
    network: NetworkSettings,
    learning: LearningSettings,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    description: str = "learning",
) -> tuple[LSTMPB, list[dict[str, float]]]:
    """Train one LSTM-PB.

    Args:
        sequences: training sequences; variants of a video share its name in ``sequences.video``.
        labels: int ``(n,)``, 0 for genuine and 1 for fake (the order of ``CLASSES``).
        network: sizes.
        learning: schedule.
        seed: decides weights, order and draw of variants.
        device: where to compute.
        description: what the progress bar is called.

    Returns:
        The network as it stood after the epoch of lowest training loss, and one row of history an epoch: ``epoch,
        loss, weight_rate, pb_rate, pb_norm_genuine, pb_norm_fake, pb_distance, seconds``.

    Raises:
        FakeemoError: if a label is missing among the sequences, or the loss is no longer a finite number.
    """
    for label, name in enumerate(CLASSES):
        if not (labels == label).any():
            raise FakeemoError(f"no usable training video is labelled '{name}'; both labels are needed to learn")
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    model = LSTMPB(replace(network, features=sequences.x.shape[2])).to(device)
    optimiser = torch.optim.SGD(model.parameters(), lr=learning.weight_rate, momentum=learning.momentum)
    pb_rate = learning.pb_rate

    videos, video = np.unique(sequences.video, return_inverse=True)
    owner = labels if learning.pb == "class" else video
    pb = torch.zeros(int(owner.max()) + 1, network.pb, device=device)
    members = [np.flatnonzero(video == i) for i in range(len(videos))]

    best, best_loss, last_gain = {}, float("inf"), 0
    history: list[dict[str, float]] = []
    bar = tqdm(range(1, learning.epochs + 1), desc=description, unit="epoch")
    for epoch in bar:
        started = time.perf_counter()
        shown = random.permutation([random.choice(variants) for variants in members])
        total = 0.0
        for i in range(0, len(shown), learning.batch_size):
            index = shown[i : i + learning.batch_size]
            total += learn_batch(model, optimiser, pb, pb_rate, sequences.select(index), owner[index], learning)
        loss = total / len(shown)
        if not np.isfinite(loss):
            raise FakeemoError(
                f"{description}: the loss is no longer a number in epoch {epoch}, at weight rate"
                f" {optimiser.param_groups[0]['lr']:g} and PB rate {pb_rate:g}; lower learning.weight_rate or"
                " learning.pb_rate, or set learning.clip_norm"
            )
        model.class_pb.copy_(class_means(pb, owner, labels))
        genuine, fake = model.class_pb
        history.append(
            {
                "epoch": epoch,
                "loss": loss,
                "weight_rate": optimiser.param_groups[0]["lr"],
                "pb_rate": pb_rate,
                "pb_norm_genuine": float(genuine.norm()),
                "pb_norm_fake": float(fake.norm()),
                "pb_distance": float((genuine - fake).norm()),
                "seconds": time.perf_counter() - started,
            }
        )
        bar.set_postfix(loss=f"{loss:.3g}", refresh=False)
        if loss < best_loss:
            best_loss, last_gain = loss, epoch
            best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        elif epoch - last_gain >= learning.patience:
            last_gain = epoch
            pb_rate /= learning.decay
            for group in optimiser.param_groups:
                group["lr"] /= learning.decay
    model.load_state_dict(best)
    return model, history


def learn_batch(
    model: LSTMPB,
    optimiser: torch.optim.Optimizer,
    pb: Tensor,
    pb_rate: float,
    batch: Sequences,
    owner: np.ndarray,
    learning: LearningSettings,
) -> float:
    """Take one step of weights and PB vectors; give the summed loss of the batch's sequences.

    ``pb`` ``(vectors, pb)`` is changed in place; ``owner`` ``(batch,)`` says which of its rows a sequence has.
    """
    device = pb.device
    x = torch.from_numpy(batch.x).to(device)
    mask = torch.from_numpy(batch.mask).to(device)
    rows = torch.from_numpy(owner).to(device)
    p = pb[rows].requires_grad_()
    error = prediction_error(model(x, p, learning.closed_loop, segment=learning.segment), x, mask)
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(error.mean())
    if learning.clip_norm:
        torch.nn.utils.clip_grad_norm_(model.parameters(), learning.clip_norm)
    optimiser.step()
    assert p.grad is not None
    update_pb(pb, rows, -p.grad * len(batch), pb_rate)
    return float(error.detach().sum())


def update_pb(pb: Tensor, rows: Tensor, delta: Tensor, rate: float) -> None:
    """Apply equation 2, ``p <- p + rate * delta``, in place.

    ``delta`` ``(batch, pb)`` holds each sequence's update after equation 1; where several sequences of the batch share
    a PB vector (row of ``pb``), it takes their mean.
    """
    count = torch.zeros(len(pb), 1, device=pb.device).index_add_(0, rows, torch.ones(len(rows), 1, device=pb.device))
    total = torch.zeros_like(pb).index_add_(0, rows, delta)
    pb += rate * total / count.clamp(min=1)


def class_means(pb: Tensor, owner: np.ndarray, labels: np.ndarray) -> Tensor:
    """Give the mean PB vector of each class, ``(2, pb)``."""
    return torch.stack([pb[np.unique(owner[labels == label])].mean(dim=0) for label in range(len(CLASSES))])


def train_emotion(
    tables: Sequence[str | Path],
    labels: Mapping[str, str],
    folder: str | Path,
    *,
    network: NetworkSettings,
    learning: LearningSettings,
    sequences: Mapping[str, Any],
    seed: int,
    device: str,
    threads: int,
    description: str,
) -> None:
    """Train on variant tables and write ``lstm_pb.safetensors``, ``config.json`` and ``history.csv`` into ``folder``.

    Args:
        tables: variant tables of the emotion's training videos.
        labels: genuine or fake, by video id; videos without a label are left out.
        folder: ``results/models/{emotion}``.
        network: sizes.
        learning: schedule.
        sequences: how landmarks are prepared, keywords of :func:`fakeemo.sequences.load_sequences`.
        seed: decides everything random.
        device: auto, cuda or cpu.
        threads: CPU threads of torch. Results depend on it in the last bits, so it comes from the config and never
            from the number of cores that happen to be free.
        description: the emotion, for the progress bar.
    """
    torch.set_num_threads(threads)
    chosen = choose_device(device)
    known = [path for path in tables if labels.get(Path(path).stem)]
    series = load_sequences(known, **sequences)
    targets = np.array([CLASSES.index(labels[video]) for video in series.video])
    model, history = train(series, targets, network, learning, seed=seed, device=chosen, description=description)
    facts: dict[str, Any] = {
        "learning": asdict(learning),
        "sequences": dict(sequences),
        "seed": seed,
        "device": torch.cuda.get_device_name() if chosen.type == "cuda" else "cpu",
        "videos": sorted(set(series.video.tolist())),
        "longest": int(series.x.shape[1]),
        "software": software("torch", "numpy"),
    }
    save_network(model, folder, **facts)
    with replacing(Path(folder) / "history.csv") as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, history[0].keys())
        writer.writeheader()
        writer.writerows(history)
