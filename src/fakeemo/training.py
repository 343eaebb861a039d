"""Learning mode (sections 2.3.1 and 2.3.6): weights and PB vectors from labelled videos.

Two things are learned side by side. The weights follow the gradient of the mean square prediction error; each PB
vector follows equations 1-2: the error back-propagated to it, averaged over its sequence's time steps, is added at a
rate of its own. As the loss of a sequence is already the mean over its steps, ``-dE/dp`` *is* equation 1.

A training that is killed goes on from its last whole epoch (:mod:`fakeemo.checkpoint`), and one that runs out of memory
with fewer sequences at a time; on the CPU the former ends in the same bits, and the latter within rounding.
"""

import csv
import math
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from fakeemo.checkpoint import Learner, fingerprint, restore, save, termination_noted
from fakeemo.devices import name_of, out_of_memory
from fakeemo.errors import FakeemoError, check_word
from fakeemo.lstm_pb import CLASSES, LSTMPB, NetworkSettings, prediction_error, save_network
from fakeemo.sequences import Sequences, load_sequences
from fakeemo.tables import replacing, software


@dataclass(frozen=True)
class LearningSettings:
    """How the network learns. The defaults are the paper's; ``momentum`` and the draw of sequences its authors' code's.

    Attributes:
        epochs: an epoch shows every training video once, in one of its variants drawn at random.
        batch_size: sequences to a step.
        optimiser: of the weights: ``sgd``, stochastic gradient descent with momentum, or ``adam`` (Kingma & Ba 2015);
            PB vectors are not its business.
        weight_rate: learning rate of the weights. With ``sgd`` a step is the rate times the gradients gathered by
            ``momentum``; with ``adam`` the rate itself is about how far each weight moves in a step.
        pb_optimiser: of the PB vectors: ``sgd`` is equation 2 as it stands. With ``adam`` the step is as long in
            directions that hardly change the error as in those that change it most, so that a PB vector comes to carry
            what is fine, too; vectors that are not in the batch stand still.
        pb_rate: learning rate of the PB vectors (equation 2); with ``adam``, about how far each number moves in a step.
        momentum: share of the gradients gathered before that a step keeps; Adam's first decay rate.
        schedule: how both rates fall. ``plateau`` divides them by ``decay`` after ``patience`` epochs without a lower
            training loss; ``linear`` keeps them for half of the epochs and lets them fall to 0 over the second half.
        patience: see ``schedule``.
        decay: see ``schedule``.
        closed_loop: share of the network's own prediction in its input, 0 to 1.
        pb: ``class`` for one PB vector a label (section 2.3.1), ``sequence`` for one a video (equations 1-2), of which
            the class vectors are then the means.
        clip_norm: longest gradient of the weights that a step takes; 0 for no limit.
        segment: frames at a time for which the way back keeps what it needs, to train on long clips in little memory
            (:meth:`fakeemo.lstm_pb.LSTMPB.forward`); 0 keeps everything.
    """

    epochs: int = 100
    batch_size: int = 1
    optimiser: str = "sgd"
    weight_rate: float = 0.01
    pb_optimiser: str = "sgd"
    pb_rate: float = 0.9
    momentum: float = 0.9
    schedule: str = "plateau"
    patience: int = 10
    decay: float = 10.0
    closed_loop: float = 0.0
    pb: str = "class"
    clip_norm: float = 0.0
    segment: int = 0

    def __post_init__(self) -> None:
        """Raise :class:`FakeemoError` where a word is not one of those above."""
        check_word("learning.optimiser", self.optimiser, ("sgd", "adam"))
        check_word("learning.pb_optimiser", self.pb_optimiser, ("sgd", "adam"))
        check_word("learning.schedule", self.schedule, ("plateau", "linear"))
        check_word("learning.pb", self.pb, ("class", "sequence"))


# Learning diverges where the loss stays this many times above that of the untrained network, for so many epochs. With
# its outputs driven to -1 and 1 by too high a rate, a network's loss grows severalfold and then stays; it rarely
# overflows.
_WORSE_THAN_UNTRAINED = 2
_WORSE_EPOCHS = 3


def train(
    sequences: Sequences,
    labels: np.ndarray,
    network: NetworkSettings,
    learning: LearningSettings,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    description: str = "learning",
    resume: Path | None = None,
    code: str = "",
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
        resume: a checkpoint, written at the ends of epochs and read at the start. Who calls removes it.
        code: the version of the code; a checkpoint of another is not used.

    Returns:
        The network as it stood after the epoch of lowest training loss, and one row of history an epoch: ``epoch,
        loss, weight_rate, pb_rate, pb_norm_genuine, pb_norm_fake, pb_distance, seconds``.

    Raises:
        FakeemoError: if a label is missing among the sequences, learning diverges, or the memory does not suffice for
            one sequence.
    """
    for label, name in enumerate(CLASSES):
        if not (labels == label).any():
            raise FakeemoError(f"no usable training video is labelled '{name}'; both labels are needed to learn")
    videos, video = np.unique(sequences.video, return_inverse=True)
    members = [np.flatnonzero(video == i) for i in range(len(videos))]
    owner = labels if learning.pb == "class" else video
    learner = begin(replace(network, features=sequences.x.shape[2]), learning, int(owner.max()) + 1, seed, device)
    mark, next_write = "", 0.0
    if resume:
        settings = {"network": asdict(network), "learning": asdict(learning), "seed": seed, "code": code}
        computed = {"device": str(torch.device(device).type), "threads": torch.get_num_threads()}
        arrays = (sequences.x, sequences.mask, sequences.video, sequences.variant, labels)
        mark = fingerprint(settings | computed | software("torch", "numpy"), *arrays)
        restore(learner, resume, mark)
        if learner.history:
            print(f"{description}: goes on after epoch {len(learner.history)}, from {resume}", flush=True)

    done = len(learner.history)
    bar = tqdm(range(done + 1, learning.epochs + 1), description, learning.epochs, initial=done, unit="epoch")
    with termination_noted() if resume else nullcontext() as told_to_end:
        for epoch in bar:
            started = time.perf_counter()
            shown = learner.random.permutation([learner.random.choice(variants) for variants in members])
            loss = learn_epoch(learner, sequences, owner, shown, learning, description)
            learner.model.class_pb.copy_(class_means(learner.pb, owner, labels))
            genuine, fake = learner.model.class_pb
            learner.history.append(
                {
                    "epoch": epoch,
                    "loss": loss,
                    "weight_rate": learner.weight_rate,
                    "pb_rate": learner.pb_rate,
                    "pb_norm_genuine": float(genuine.norm()),
                    "pb_norm_fake": float(fake.norm()),
                    "pb_distance": float((genuine - fake).norm()),
                    "seconds": time.perf_counter() - started,
                }
            )
            bar.set_postfix(loss=f"{loss:.3g}", refresh=False)
            stop_if_diverged(learner, description)
            keep_best(learner)
            lower_rates(learner, learning)
            ending = told_to_end is not None and told_to_end.is_set()
            if resume and (ending or time.monotonic() >= next_write):
                next_write = save(learner, resume, mark)
            if ending:
                print(f"{description}: told to end (SIGTERM); the next start goes on after epoch {epoch}", flush=True)
                signal.raise_signal(signal.SIGTERM)
    learner.model.load_state_dict(learner.best)
    return learner.model, learner.history


def begin(
    network: NetworkSettings, learning: LearningSettings, vectors: int, seed: int, device: torch.device | str
) -> Learner:
    """Give a network with random weights, and so many PB vectors of zeros (section 2.3.6)."""
    torch.manual_seed(seed)
    model = LSTMPB(network).to(device)
    pb = torch.zeros(vectors, network.pb, device=device)
    return Learner(
        model,
        optimiser_of(model, learning),
        pb,
        optimiser_of_pb(pb, learning),
        np.random.default_rng(seed),
        learning.batch_size,
    )


def optimiser_of(model: LSTMPB, learning: LearningSettings) -> torch.optim.Optimizer:
    """Give the optimiser of the weights, before its first step."""
    rate, momentum = learning.weight_rate, learning.momentum
    if learning.optimiser == "adam":
        return torch.optim.Adam(model.parameters(), lr=rate, betas=(momentum, 0.999))
    return torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)


def optimiser_of_pb(pb: Tensor, learning: LearningSettings) -> torch.optim.Optimizer:
    """Give the optimiser of PB vectors ``(vectors, pb)``, before its first step. Both take sparse gradients."""
    if learning.pb_optimiser == "adam":
        return torch.optim.SparseAdam([pb], lr=learning.pb_rate)
    return torch.optim.SGD([pb], lr=learning.pb_rate)


def learn_epoch(
    learner: Learner,
    sequences: Sequences,
    owner: np.ndarray,
    shown: np.ndarray,
    learning: LearningSettings,
    description: str,
) -> float:
    """Show the sequences ``shown`` (indices) once; give the mean loss, each sequence's before its batch's step."""
    total = 0.0
    for i in range(0, len(shown), learning.batch_size):
        index = shown[i : i + learning.batch_size]
        batch = sequences.select(index)
        loss, room = learn_batch(
            learner.model,
            learner.optimiser,
            learner.pb,
            learner.pb_optimiser,
            batch,
            owner[index],
            learning,
            learner.micro_batch,
        )
        if room < learner.micro_batch:
            print(f"{description}: out of memory; goes on with {room} sequences at a time, to the same end", flush=True)
            learner.micro_batch = room
        if math.isnan(learner.untrained):
            learner.untrained = loss / len(index)
        total += loss
    return total / len(shown)


def stop_if_diverged(learner: Learner, description: str) -> None:
    """Raise :class:`FakeemoError` where learning makes the network worse."""
    losses = [row["loss"] for row in learner.history]
    worse = [loss > _WORSE_THAN_UNTRAINED * learner.untrained for loss in losses[-_WORSE_EPOCHS:]]
    if not np.isfinite(losses[-1]):
        what = "is no longer a number"
    elif len(worse) == _WORSE_EPOCHS and all(worse):
        what = f"is {losses[-1]:.3g}, where the untrained network's was {learner.untrained:.3g},"
    else:
        return
    raise FakeemoError(
        f"{description}: learning diverges: the loss {what} in epoch {len(losses)}, at weight rate"
        f" {learner.weight_rate:g} and PB rate {learner.pb_rate:g}; lower learning.weight_rate or learning.pb_rate, or"
        " set learning.clip_norm"
    )


def keep_best(learner: Learner) -> None:
    """Keep the weights if the last epoch's loss is the lowest."""
    epoch, loss = len(learner.history), learner.history[-1]["loss"]
    if loss < learner.best_loss:
        learner.best_loss, learner.last_gain = loss, epoch
        learner.best = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}


def lower_rates(learner: Learner, learning: LearningSettings) -> None:
    """Set the rates of the next epoch by ``learning.schedule``."""
    epoch = len(learner.history)
    if learning.schedule == "linear":
        share = min(1, 2 * (1 - epoch / learning.epochs))
        learner.weight_rate, learner.pb_rate = learning.weight_rate * share, learning.pb_rate * share
    elif epoch - learner.last_gain >= learning.patience:
        learner.last_gain = epoch
        learner.weight_rate /= learning.decay
        learner.pb_rate /= learning.decay


def learn_batch(
    model: LSTMPB,
    optimiser: torch.optim.Optimizer,
    pb: Tensor,
    pb_optimiser: torch.optim.Optimizer,
    batch: Sequences,
    owner: np.ndarray,
    learning: LearningSettings,
    micro_batch: int | None = None,
) -> tuple[float, int]:
    """Take one step of weights and PB vectors; give the summed loss of the batch's sequences.

    Args:
        model: the network.
        optimiser: of its weights.
        pb: ``(vectors, pb)``, changed in place.
        pb_optimiser: of ``pb``.
        batch: sequences.
        owner: ``(batch,)``, which row of ``pb`` a sequence has.
        learning: schedule.
        micro_batch: sequences to go forward and back with at a time; all where not given.

    Returns:
        The loss, and ``micro_batch``, halved as often as the device's memory asked for.

    Raises:
        FakeemoError: if the memory does not suffice for one sequence.
    """
    rows = torch.from_numpy(owner).to(pb.device)
    micro_batch = micro_batch or len(batch)
    step = None
    while step is None:
        try:
            step = gradients(model, pb[rows], batch, learning, micro_batch)
        except Exception as error:
            if not out_of_memory(error):
                raise
        if step is None:  # outside of `except`, whose error holds on to what the failed attempt had
            if micro_batch == 1:
                raise FakeemoError(
                    f"{name_of(pb.device)}: out of memory with one sequence of {batch.x.shape[1]} frames; lower"
                    " network.hidden or network.layers, set learning.segment (with network.context_from: hidden),"
                    " shorten videos by start_s and end_s, or use a device with more memory"
                )
            micro_batch = math.ceil(min(micro_batch, len(batch)) / 2)
            if pb.device.type == "cuda":
                torch.cuda.empty_cache()
    loss, delta = step
    if learning.clip_norm:
        torch.nn.utils.clip_grad_norm_(model.parameters(), learning.clip_norm)
    optimiser.step()
    update_pb(pb, owner, delta, pb_optimiser)
    return loss, micro_batch


def gradients(
    model: LSTMPB, p: Tensor, batch: Sequences, learning: LearningSettings, micro_batch: int
) -> tuple[float, Tensor]:
    """Set the weights' gradients to those of the batch's mean loss, ``micro_batch`` sequences at a time.

    Gives the summed loss, and each sequence's ``-dE/dp`` (equation 1), ``(batch, pb)``.
    """
    model.zero_grad(set_to_none=True)
    losses, deltas = [], []
    for i in range(0, len(batch), micro_batch):
        part = batch.select(np.arange(len(batch))[i : i + micro_batch])
        x = torch.from_numpy(part.x).to(p.device)
        mask = torch.from_numpy(part.mask).to(p.device)
        q = p[i : i + micro_batch].requires_grad_()
        error = prediction_error(model(x, q, learning.closed_loop, segment=learning.segment), x, mask)
        torch.autograd.backward(error.sum() / len(batch))
        assert q.grad is not None
        deltas.append(-q.grad * len(batch))
        losses.append(error.detach())
    return float(torch.cat(losses).sum()), torch.cat(deltas)  # the one time that a batch waits for a GPU


def update_pb(pb: Tensor, owner: np.ndarray, delta: Tensor, optimiser: torch.optim.Optimizer) -> None:
    """Apply equation 2, in place; with plain gradient descent it is ``p <- p + rate * delta``.

    ``delta`` ``(batch, pb)`` holds each sequence's update after equation 1, and ``owner`` ``(batch,)`` its row of
    ``pb``; where several sequences of the batch share a PB vector, it takes their mean.
    """
    found = np.unique(owner, return_inverse=True, return_counts=True)
    vectors, index, counts = (torch.from_numpy(part).to(pb.device) for part in found)
    mean = delta.new_zeros(len(vectors), pb.shape[1]).index_add_(0, index, delta) / counts[:, None]
    pb.grad = torch.sparse_coo_tensor(vectors[None], -mean, pb.shape, check_invariants=False)
    optimiser.step()
    pb.grad = None


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
    device: torch.device | str,
    threads: int,
    description: str,
    resume: str | Path | None = None,
    code: str = "",
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
        device: where to compute.
        threads: CPU threads of torch. Results depend on it in the last bits, so it comes from the config and never
            from the number of cores that happen to be free.
        description: the emotion, for the progress bar.
        resume: where a training that is killed leaves its checkpoint for the next start; removed in the end. Not in
            ``folder``, as Snakemake deletes the outputs of a job that was killed.
        code: the version of the code; a checkpoint of another is not used.
    """
    torch.set_num_threads(threads)
    resume = Path(resume) if resume else None
    known = [path for path in tables if labels.get(Path(path).stem)]
    series = load_sequences(known, **sequences)
    targets = np.array([CLASSES.index(labels[video]) for video in series.video])
    model, history = train(
        series,
        targets,
        network,
        learning,
        seed=seed,
        device=device,
        description=description,
        resume=resume,
        code=code,
    )
    facts: dict[str, Any] = {
        "learning": asdict(learning),
        "sequences": {**sequences} if series.basis is None else {**sequences, "basis": series.basis.tolist()},
        "seed": seed,
        "device": name_of(device),
        "videos": sorted(set(series.video.tolist())),
        "longest": int(series.x.shape[1]),
        "software": software("torch", "numpy"),
    }
    save_network(model, folder, **facts)
    with replacing(Path(folder) / "history.csv") as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, history[0].keys())
        writer.writeheader()
        writer.writerows(history)
    if resume:
        resume.unlink(missing_ok=True)
