"""Learning mode (sections 2.3.1 and 2.3.6): weights and PB vectors from labelled videos, epoch after epoch.

What a step does stands in :mod:`fakeemo.learning_step`. A training that is killed goes on from its last whole epoch
(:mod:`fakeemo.checkpoint`), on the CPU to the same bits.
"""

import csv
import math
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fakeemo.checkpoint import Learner, fingerprint, restore, save, termination_noted
from fakeemo.cuda_graph import Replayed, shared_length
from fakeemo.devices import name_of
from fakeemo.errors import FakeemoError
from fakeemo.files import replacing
from fakeemo.learning_step import LearningSettings, learn_batch, optimiser_of, optimiser_of_pb, passes_of
from fakeemo.lstm_pb import CLASSES, LSTMPB, NetworkSettings, save_network
from fakeemo.progress import progress
from fakeemo.sequences import Sequences, load_sequences
from fakeemo.tables import software

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

    passes, done = passes_of(learner.model, learning), len(learner.history)
    bar = progress(range(done + 1, learning.epochs + 1), description, "epoch", learning.epochs, done)
    with termination_noted() if resume else nullcontext() as told_to_end:
        for epoch in bar:
            started = time.perf_counter()
            shown = learner.random.permutation([learner.random.choice(variants) for variants in members])
            loss = learn_epoch(learner, passes, sequences, owner, shown, learning, description)
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


def learn_epoch(
    learner: Learner,
    passes: Replayed,
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
        if learner.pb.device.type == "cuda":
            batch = batch.padded(shared_length(batch.x.shape[1], sequences.x.shape[1]))
        loss, room = learn_batch(
            learner.model,
            learner.optimiser,
            learner.pb,
            learner.pb_optimiser,
            batch,
            owner[index],
            learning,
            learner.micro_batch,
            learner.random,
            passes,
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
