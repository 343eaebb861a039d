"""Recognition mode (section 2.3.3): the PB vector of a given video, with all weights frozen.

The network predicts the video's landmarks; the error goes back to the PB vector alone, step after step by equations
1-2, from zero.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from fakeemo.lstm_pb import LSTMPB, choose_device, load_network, prediction_error
from fakeemo.sequences import Sequences, load_sequences
from fakeemo.tables import software, write_table


@dataclass(frozen=True)
class RecognitionSettings:
    """How a PB vector is found.

    Attributes:
        steps: most steps of equations 1-2; the authors' code takes one.
        rate: how far a step goes (equation 2).
        tolerance: a sequence stops once a step moves its PB vector by less than this length.
        batch_size: sequences at a time.
    """

    steps: int = 100
    rate: float = 0.9
    tolerance: float = 0.0
    batch_size: int = 256


@dataclass(frozen=True)
class Recognised:
    """What recognition mode says of ``n`` sequences: arrays ``(n, pb)`` and ``(n,)``."""

    pb: np.ndarray
    error: np.ndarray
    error_genuine: np.ndarray
    error_fake: np.ndarray
    steps: np.ndarray


def recognise(
    model: LSTMPB, sequences: Sequences, settings: RecognitionSettings, *, closed_loop: float, description: str = ""
) -> Recognised:
    """Find every sequence's PB vector, its prediction error, and the errors under the two learned class vectors.

    Sequences do not influence one another: a sequence gets the same PB vector alone as in a batch.
    """
    device = model.class_pb.device
    found: list[Recognised] = []
    # Longest last and alike together, so that little of a batch is padding.
    order = np.argsort(sequences.mask.shape[1] - np.argmax(sequences.mask[:, ::-1], axis=1), kind="stable")
    bar = tqdm(total=len(order), desc=description, unit="sequence")
    for start in range(0, len(order), settings.batch_size):
        batch = sequences.select(order[start : start + settings.batch_size])
        x, mask = torch.from_numpy(batch.x).to(device), torch.from_numpy(batch.mask).to(device)
        p, steps = descend(model, x, mask, settings, closed_loop)
        with torch.no_grad():
            at_p, genuine, fake = (
                prediction_error(model(x, q, closed_loop), x, mask).cpu().numpy()
                for q in (p, *(vector.expand(len(x), -1) for vector in model.class_pb))
            )
        found.append(Recognised(p.cpu().numpy(), at_p, genuine, fake, steps.cpu().numpy()))
        bar.update(len(batch))
    bar.close()
    back = np.argsort(order)
    columns = {
        name: np.concatenate([getattr(part, name) for part in found])[back]
        for name in ("pb", "error", "error_genuine", "error_fake", "steps")
    }
    return Recognised(**columns)


def descend(
    model: LSTMPB, x: Tensor, mask: Tensor, settings: RecognitionSettings, closed_loop: float
) -> tuple[Tensor, Tensor]:
    """Follow equations 1-2 from zero; give PB vectors ``(batch, pb)`` and the steps each sequence took ``(batch,)``."""
    p = x.new_zeros(len(x), model.settings.pb)
    steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    moving = torch.ones(len(x), dtype=torch.bool, device=x.device)
    with torch.no_grad():
        clock = model.clock(x.shape[1] - 1)
    for _ in range(settings.steps):
        p.requires_grad_()
        error = prediction_error(model(x, p, closed_loop, clock), x, mask)
        # The sum keeps sequences apart: each row of the gradient is its own sequence's.
        (gradient,) = torch.autograd.grad(error.sum(), p)
        delta = -settings.rate * gradient * moving[:, None]
        p = (p + delta).detach()
        steps += moving
        moving &= delta.norm(dim=1) > settings.tolerance
        if not moving.any():
            break
    return p, steps


def recognise_emotion(
    tables: Sequence[str | Path],
    folder: str | Path,
    out: str | Path,
    *,
    settings: RecognitionSettings,
    device: str,
    threads: int,
    description: str,
) -> None:
    """Write ``results/pb/{emotion}.parquet``: one row for every usable video and variant.

    Args:
        tables: variant tables of all videos of the emotion.
        folder: ``results/models/{emotion}``.
        out: the table.
        settings: of recognition mode; how landmarks are prepared comes from the model.
        device: auto, cuda or cpu.
        threads: CPU threads of torch, from the config (see :func:`fakeemo.training.train_emotion`).
        description: the emotion, for the progress bar.
    """
    torch.set_num_threads(threads)
    model, facts = load_network(folder, choose_device(device))
    closed_loop = facts["learning"]["closed_loop"]
    sequences = load_sequences(tables, **facts["sequences"])
    found = recognise(model, sequences, settings, closed_loop=closed_loop, description=description)
    class_pb = model.class_pb.cpu().numpy()
    columns: dict[str, object] = {
        "video_id": sequences.video.tolist(),
        "variant": sequences.variant,
        **{f"pb_{k}": found.pb[:, k] for k in range(found.pb.shape[1])},
        "error": found.error,
        "error_genuine": found.error_genuine,
        "error_fake": found.error_fake,
        "distance_genuine": np.linalg.norm(found.pb - class_pb[0], axis=1),
        "distance_fake": np.linalg.norm(found.pb - class_pb[1], axis=1),
        "steps": found.steps,
    }
    write_table(
        out,
        columns,
        kind="pb",
        units={"error": "mean square of the landmarks' unit", "steps": "steps of equations 1-2"},
        parameters={**asdict(settings), "closed_loop": closed_loop, "sequences": facts["sequences"]},
        versions=software("torch", "numpy", "pyarrow"),
    )
