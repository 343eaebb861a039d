"""Recognition mode (section 2.3.3): the PB vector of a given video, with all weights frozen.

The network predicts the video's landmarks; the error goes back to the PB vector alone, step after step by equations
1-2. As the error has more than one valley, the descent may begin at several points, and the best end is kept.

The error is a thousand times steeper in some directions of the PB than in others, and plain gradient steps hardly move
along the flat ones, where what is fine in an expression may lie. ``method: gauss-newton`` minimises the same error by
damped Gauss-Newton steps (Levenberg 1944, Marquardt 1963), which see all directions alike; a handful is enough.
"""

import copy
import csv
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fakeemo.cuda_graph import Replayed
from fakeemo.devices import name_of, that_fits
from fakeemo.errors import FakeemoError, check_word
from fakeemo.files import replacing
from fakeemo.lstm_pb import CLASSES, LSTMPB, load_network, prediction_error
from fakeemo.progress import progress
from fakeemo.sequences import Sequences, load_sequences
from fakeemo.tables import software, write_table

STARTS = {"zero": ("zero",), "classes": CLASSES, "best": ("zero", *CLASSES)}
"""Where the descent begins, by the config's word for it: at zero, or at the PB vectors of the classes."""

Predictor = Callable[[Tensor, Tensor], Tensor]
"""Predictions ``(rows, time - 1, features)`` of some rows of a batch ``(rows,)`` under PB vectors ``(rows, pb)``."""

Advance = Callable[[Tensor, Tensor], Sequence[Tensor]]
"""From rows of a batch and their PB vectors: errors, by how much to change the vectors, how long a step was tried."""

_SHOWN = 4
_NUDGE = 0.01  # of each PB number, for the slope of the predictions; W_p p is of the order of 1 where p is
_DAMPING = 0.01  # at first, as a share of the mean curvature
_SURER, _WARIER = 0.2, 4.0  # factors on the damping after a step that lowered the error, and after one that did not


@dataclass(frozen=True)
class RecognitionSettings:
    """How a PB vector is found.

    Attributes:
        method: ``gradient`` for equations 1-2, ``gauss-newton`` for steps that take the curvature into account.
        steps: most steps; the authors' code takes one.
        rate: how far a step of ``gradient`` goes (equation 2).
        start: ``zero``, as in the authors' code; ``classes`` for both class PB vectors, ``best`` for zero and both. Of
            several descents the one that ends with the least error counts.
        tolerance: a descent ends once a step would move the PB vector by no more than this length.
        batch_size: sequences that go through the network at a time; ``gauss-newton`` sends each one ``pb + 1`` times.
    """

    method: str = "gradient"
    steps: int = 100
    rate: float = 0.9
    start: str = "zero"
    tolerance: float = 0.0
    batch_size: int = 256

    def __post_init__(self) -> None:
        """Raise :class:`FakeemoError` where a word is not one of those above."""
        check_word("recognition.method", self.method, ("gradient", "gauss-newton"))
        check_word("recognition.start", self.start, tuple(STARTS))


@dataclass(frozen=True)
class Recognised:
    """What recognition mode says of ``n`` sequences.

    Attributes:
        pb: PB vectors ``(n, pb)``.
        error: mean square prediction error at ``pb``, ``(n,)``.
        error_genuine: at the PB vector of the first class, ``(n,)``.
        error_fake: at that of the second, ``(n,)``.
        start: where the descent that led to ``pb`` began, ``zero``, ``genuine`` or ``fake``, ``(n,)``.
        steps: that it took, ``(n,)``.
        errors: of every descent, before its first step and after each, ``(n, starts, steps + 1)``; NaN after its end.
            Starts are in the order of ``STARTS``.
        changes: how far each step moved the PB vector, likewise; 0 before the first.
    """

    pb: np.ndarray
    error: np.ndarray
    error_genuine: np.ndarray
    error_fake: np.ndarray
    start: np.ndarray
    steps: np.ndarray
    errors: np.ndarray
    changes: np.ndarray


def recognise(
    model: LSTMPB, sequences: Sequences, settings: RecognitionSettings, *, closed_loop: float, description: str = ""
) -> Recognised:
    """Find every sequence's PB vector, its prediction error, and the errors under the two learned class vectors.

    Sequences do not influence one another: a sequence gets the same PB vector alone as in a batch. A warning says how
    many end with a higher error than they began with.

    Raises:
        FakeemoError: if a PB vector or its error is no longer a finite number.
    """
    model = copy.deepcopy(model).requires_grad_(False)
    device = model.class_pb.device
    found: list[Recognised] = []
    # Longest last and alike together, so that little of a batch is padding.
    order = np.argsort(sequences.mask.shape[1] - np.argmax(sequences.mask[:, ::-1], axis=1), kind="stable")
    copies = 1 if settings.method == "gradient" else model.settings.pb + 1
    at_once = max(1, settings.batch_size // copies)
    bar, done = progress(None, description, "sequence", len(order)), 0

    def some(size: int) -> tuple[Sequences, Recognised]:
        batch = sequences.select(order[done : done + size])
        x, mask = torch.from_numpy(batch.x).to(device), torch.from_numpy(batch.mask).to(device)
        return batch, _recognise_batch(model, x, mask, settings, closed_loop)

    while done < len(order):
        fitting = that_fits(some, at_once)
        if fitting is None:
            raise FakeemoError(
                f"{name_of(device)}: out of memory with one sequence; shorten videos by start_s and end_s, or use a"
                " device with more memory"
            )
        (batch, part), size = fitting
        if size < at_once:
            print(f"{description}: out of memory; goes on with {size} sequences at a time, to the same end", flush=True)
            at_once = size
        lost = np.flatnonzero(~np.isfinite(part.pb).all(axis=1) | ~np.isfinite(part.error))
        if len(lost):
            raise FakeemoError(
                f"{batch.video[lost[0]]}, variant {batch.variant[lost[0]]}: its PB vector is no longer a finite number"
                f" after {part.steps[lost[0]]} steps at rate {settings.rate:g}; lower recognition.rate"
            )
        found.append(part)
        done += len(batch)
        bar.update(len(batch))
    bar.close()
    back = np.argsort(order)
    names = [field.name for field in fields(Recognised)]
    whole = Recognised(**{name: np.concatenate([getattr(part, name) for part in found])[back] for name in names})
    _warn_of_rising(whole, settings, description)
    return whole


def _recognise_batch(
    model: LSTMPB, x: Tensor, mask: Tensor, settings: RecognitionSettings, closed_loop: float
) -> Recognised:
    predict = predictor(model, x, closed_loop)
    points = {"zero": torch.zeros_like(model.class_pb[0]), **dict(zip(CLASSES, model.class_pb, strict=True))}
    names = STARTS[settings.start]
    descents = [descend(predict, x, mask, points[name], settings) for name in names]
    p, steps, errors, changes = (torch.stack(parts, dim=1) for parts in zip(*descents, strict=True))
    last = errors.gather(2, steps[:, :, None])[:, :, 0]
    winner = last.nan_to_num(nan=torch.inf).argmin(dim=1)
    rows = torch.arange(len(x), device=x.device)
    genuine, fake = (prediction_error(predict(rows, points[name].expand(len(x), -1)), x, mask) for name in CLASSES)
    tensors = {
        "pb": p[rows, winner],
        "error": last[rows, winner],
        "error_genuine": genuine,
        "error_fake": fake,
        "steps": steps[rows, winner],
        "errors": errors,
        "changes": changes,
    }
    return Recognised(
        start=np.array(names)[winner.cpu().numpy()], **{name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    )


def predictor(model: LSTMPB, x: Tensor, closed_loop: float) -> Predictor:
    """Give the network as a function of PB vectors alone: what they do not change is computed here, once."""
    clock = model.clock(x.shape[1] - 1)
    if clock is None or closed_loop:
        return lambda rows, p: model(x[rows], p, closed_loop, clock)
    drive = model.drive(x, clock)
    return lambda rows, p: model.respond(drive[rows], p, x[rows])


def descend(
    predict: Predictor, x: Tensor, mask: Tensor, start: Tensor, settings: RecognitionSettings
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Lower the error of each of a batch's sequences, from the PB vector ``start`` ``(pb,)`` on.

    Returns:
        PB vectors ``(batch, pb)``, steps taken ``(batch,)``, and, before the first step and after each, the errors and
        the lengths of the steps, ``(batch, steps + 1)`` each, NaN after a sequence's last step.
    """
    advance = (_gradient if settings.method == "gradient" else _gauss_newton)(predict, x, mask, settings)
    p = start.repeat(len(x), 1)
    steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    errors = x.new_full((len(x), settings.steps + 1), torch.nan)
    changes = errors.clone()
    changes[:, 0] = 0
    rows = torch.arange(len(x), device=x.device)
    moving = torch.ones_like(rows, dtype=torch.bool)
    # A graph is of one number of rows, so on a GPU some that stand still go along until they are half of all.
    most = 0.5 if x.is_cuda else 1.0
    for step in range(settings.steps):
        error, delta, tried = advance(rows, p[rows])
        delta = torch.where(moving[:, None], delta, 0)
        p[rows] += delta
        steps[rows] += moving
        errors[rows, step] = torch.where(moving, error, torch.nan)
        changes[rows, step + 1] = torch.where(moving, delta.norm(dim=1), torch.nan)
        moving &= tried > settings.tolerance
        left = int(moving.sum())
        if not left:
            break
        if left <= most * len(rows):
            rows, moving = rows[moving], moving[moving]
    with torch.no_grad():
        last = prediction_error(predict(torch.arange(len(x), device=x.device), p), x, mask)
        errors.scatter_(1, steps[:, None], last[:, None])
    return p, steps, errors, changes


def _gradient(predict: Predictor, x: Tensor, mask: Tensor, settings: RecognitionSettings) -> Advance:
    """Give the step of equations 1-2."""

    def advance(rows: Tensor, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        p = p.detach().requires_grad_()
        error = prediction_error(predict(rows, p), x[rows], mask[rows])
        # The sum keeps sequences apart: each row of the gradient is its own sequence's.
        (gradient,) = torch.autograd.grad(error.sum(), p)
        delta = -settings.rate * gradient
        return error.detach(), delta, delta.norm(dim=1)

    return Replayed(advance)


def _gauss_newton(predict: Predictor, x: Tensor, mask: Tensor, settings: RecognitionSettings) -> Advance:
    """Give the step that would end at the least error if predictions were linear in the PB vector, damped.

    A step that does not lower a sequence's error is not taken, and its next one is damped more.
    """
    damping = x.new_full((len(x),), _DAMPING)
    predictions = Replayed(lambda rows, p: [predict(rows, p)])

    @torch.no_grad()
    def advance(rows: Tensor, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shown, seen, pb = x[rows], mask[rows], p.shape[1]
        unit = torch.eye(pb, dtype=p.dtype, device=p.device)
        nudged = torch.cat([p[None], p + _NUDGE * unit[:, None]])
        y, *moved = predictions(rows.repeat(pb + 1), nudged.flatten(0, 1))[0].chunk(pb + 1)
        slope = (torch.stack(moved) - y) / _NUDGE
        counted = seen[:, 1:].to(y.dtype)
        share = counted / counted.sum(dim=1, keepdim=True).clamp(min=1) / y.shape[2]
        weighted = slope * share[..., None]
        curvature = torch.einsum("int,jnt->nij", weighted.flatten(2), slope.flatten(2))
        descent = torch.einsum("int,nt->ni", weighted.flatten(2), (shown[:, 1:] - y).flatten(1))
        steepness = curvature.diagonal(dim1=1, dim2=2).mean(dim=1).clamp(min=torch.finfo(y.dtype).tiny ** 0.5)
        damped = curvature + (damping[rows] * steepness)[:, None, None] * unit
        step, _ = torch.linalg.solve_ex(damped, descent)  # where it is singular, a step that is no number: not taken
        error = prediction_error(y, shown, seen)
        lower = prediction_error(predictions(rows, p + step)[0], shown, seen) < error
        damping[rows] *= torch.where(lower, _SURER, _WARIER)
        return error, torch.where(lower[:, None], step, 0), step.norm(dim=1).nan_to_num(nan=torch.inf)

    return advance


def _warn_of_rising(found: Recognised, settings: RecognitionSettings, description: str) -> None:
    """Warn where equation 2 overshot; Gauss-Newton steps never raise the error."""
    which = np.array([STARTS[settings.start].index(name) for name in found.start])
    first = found.errors[np.arange(len(which)), which, 0]
    risen = int(((found.error > first) & ~np.isclose(found.error, first)).sum())
    if risen:
        warnings.warn(
            f"{description or 'recognition'}: {risen} of {len(first)} sequences end with a higher error than they began"
            f" with, at rate {settings.rate:g}; lower recognition.rate",
            stacklevel=3,
        )


def recognise_emotion(
    tables: Sequence[str | Path],
    folder: str | Path,
    out: str | Path,
    convergence: str | Path,
    *,
    settings: RecognitionSettings,
    device: torch.device | str,
    threads: int,
    description: str,
) -> None:
    """Write ``results/pb/{emotion}.parquet``: one row for every usable video and variant.

    Args:
        tables: variant tables of all videos of the emotion.
        folder: ``results/models/{emotion}``.
        out: the table.
        convergence: CSV of a few descents: see :func:`write_convergence`.
        settings: of recognition mode; how landmarks are prepared comes from the model.
        device: where to compute.
        threads: CPU threads of torch, from the config (see :func:`fakeemo.training.train_emotion`).
        description: the emotion, for the progress bar.
    """
    torch.set_num_threads(threads)
    model, facts = load_network(folder, device)
    closed_loop = facts["learning"]["closed_loop"]
    sequences = load_sequences(tables, **facts["sequences"])
    found = recognise(model, sequences, settings, closed_loop=closed_loop, description=description)
    write_convergence(convergence, sequences, found, settings)
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
        "start": found.start.tolist(),
        "steps": found.steps,
    }
    write_table(
        out,
        columns,
        kind="pb",
        units={"error": "mean square of the landmarks' unit", "steps": "steps of recognition.method"},
        parameters={**asdict(settings), "closed_loop": closed_loop, "sequences": facts["sequences"]},
        versions=software("torch", "numpy", "pyarrow"),
    )


def write_convergence(path: str | Path, sequences: Sequences, found: Recognised, settings: RecognitionSettings) -> None:
    """Write how the descents of the first four and the last four videos went, without jitter (variant 0).

    One row a step, step 0 being the start: ``video_id, start, step, error, change`` (the length of the step).
    """
    plain = np.flatnonzero(sequences.variant == 0)
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video_id", "start", "step", "error", "change"])
        for i in np.unique(np.concatenate([plain[:_SHOWN], plain[-_SHOWN:]])):
            for name, errors, changes in zip(STARTS[settings.start], found.errors[i], found.changes[i], strict=True):
                for step in np.flatnonzero(np.isfinite(changes)):
                    writer.writerow([sequences.video[i], name, step, f"{errors[step]:.6g}", f"{changes[step]:.6g}"])
