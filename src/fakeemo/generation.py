"""Generation mode (section 2.3.2): the expressions that the learned PB vectors stand for, to be looked at.

The network runs free from a first frame, under the PB vector of genuine, of fake, and of points on the straight line
between the two. What it then shows is what it has learned, no more: a network trained on observed frames alone
(``learning.closed_loop`` 0, as in the paper) never had to go on by itself, and may drift.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fakeemo.errors import FakeemoError
from fakeemo.face_animation import OUTER_CORNERS, Expression, mean_face, write_animation
from fakeemo.faces import Box, predictor_box
from fakeemo.lstm_pb import LSTMPB, load_network
from fakeemo.sequences import FEATURES, N_POINTS, load_sequences
from fakeemo.tables import read_table, software, write_table


def generate_between(model: LSTMPB, first: Tensor, length: int, steps: int) -> tuple[Tensor, Tensor]:
    """Generate under PB vectors (1 - a) genuine + a fake.

    Args:
        model: the network.
        first: the first frame, ``(features,)``.
        length: frames to give, the first included.
        steps: how many values a takes, evenly from 0 to 1.

    Returns:
        The shares a ``(steps,)`` and the sequences ``(steps, length, features)``.

    Raises:
        FakeemoError: if ``steps`` or ``length`` is less than 2.
    """
    if steps < 2:
        raise FakeemoError(f"from genuine to fake there are at least 2 steps, not {steps}")
    share = torch.linspace(0, 1, steps, device=model.class_pb.device)
    p = torch.lerp(model.class_pb[0], model.class_pb[1], share[:, None])
    return share, model.generate(p, first.expand(steps, -1), length)


class Generated(NamedTuple):
    """Hold what a network generates, from genuine to fake.

    ``share`` (steps,) from 0 genuine to 1 fake; ``x`` (steps, time, 80) as the network gave it; ``points`` (steps,
    time, 40, 2) on the face whose rest is ``neutral`` (40, 2), in half widths of its crop; ``fps``; ``class_pb``
    (2, pb), genuine and fake; ``prepared``, how the network's sequences were.
    """

    share: np.ndarray
    x: np.ndarray
    points: np.ndarray
    neutral: np.ndarray
    fps: float
    class_pb: np.ndarray
    prepared: dict[str, Any]


def generate(
    folder: str | Path,
    *,
    first: str | Path | None = None,
    length: int | None = None,
    steps: int = 3,
    fps: float | None = None,
) -> Generated:
    """Let the network of ``folder`` generate; arguments and errors as of :func:`write_generated`."""
    model, facts = load_network(folder)
    prepared = facts["sequences"]
    length = facts["longest"] if length is None else length
    fps = prepared.get("fps") or 25.0 if fps is None else fps
    if not 1 <= fps <= 1000:
        raise FakeemoError(f"frames a second: {fps:g} given, expected a number from 1 to 1000")
    first_frame, neutral = first_of(first, prepared) if first is not None else at_rest(prepared["reference"])
    share, x = generate_between(model, torch.from_numpy(first_frame), length, steps)
    points = on_face(x.numpy(), neutral, prepared["reference"])
    return Generated(share.numpy(), x.numpy(), points, neutral, fps, model.class_pb.numpy(), prepared)


def write_generated(
    folder: str | Path,
    out: str | Path,
    *,
    first: str | Path | None = None,
    length: int | None = None,
    steps: int = 3,
    fps: float | None = None,
    exaggerate: float = 1.0,
    table: str | Path | None = None,
) -> None:
    """Show generation mode as moving faces, from genuine to fake side by side.

    Args:
        folder: ``results/models/{emotion}``.
        out: the animation, ``.mp4`` or ``.gif``.
        first: a variant table, whose unjittered variant gives the first frame and the face at rest. Without it the
            face is dlib's mean face, and the first frame that face at rest.
        length: frames; the longest training sequence's if absent.
        steps: faces, evenly from genuine to fake.
        fps: frames a second; if absent, what the network's sequences were brought to, or else 25.
        exaggerate: factor on the movement, in the picture alone.
        table: a Parquet table to write as well, see :func:`write_generated_table`.

    Raises:
        FakeemoError: if the network, ``first`` or a number cannot be used, or a file cannot be written.
    """
    if not exaggerate > 0:
        raise FakeemoError(f"factor on the movement: {exaggerate:g} given, expected a number above 0")
    made = generate(folder, first=first, length=length, steps=steps, fps=fps)
    titles = ["genuine", *(f"{100 * a:.0f} % of the way" for a in made.share[1:-1]), "fake"]
    write_animation(
        out,
        [Expression(*each) for each in zip(titles, made.share.tolist(), made.points, strict=True)],
        made.neutral,
        fps=made.fps,
        heading=f"{Path(folder).resolve().name}: generated from the learned PB vectors",
        exaggerate=exaggerate,
    )
    if table is not None:
        write_generated_table(table, made, folder, first)


def write_generated_table(
    out: str | Path, made: Generated, folder: str | Path, first: str | Path | None = None
) -> None:
    """Write what a network generated as a Parquet table, a row a face and frame.

    Columns: share_fake, frame, timestamp; what the network gave, u_0..u_39, v_0..v_39; the same on the face,
    x_0..x_39, y_0..y_39. Its parameters hold ``class_pb``, the PB vectors of genuine and fake, ``neutral``, the face at
    rest, and ``fps``; ``folder`` and ``first`` are named there.
    """
    steps, length = made.x.shape[:2]
    crop = "half width or height of the crop, from its centre"
    eyes = "quarter of the distance between the outer corners of the eyes"
    flat = made.points.transpose(0, 1, 3, 2).reshape(steps * length, 2 * N_POINTS)
    positions = [f"{axis}_{i}" for axis in "xy" for i in range(N_POINTS)]
    write_table(
        out,
        {
            "share_fake": made.share.repeat(length),
            "frame": np.tile(np.arange(length, dtype=np.int32), steps),
            "timestamp": np.tile(np.arange(length) / made.fps, steps),
            **dict(zip(FEATURES, made.x.reshape(-1, len(FEATURES)).T, strict=True)),
            **dict(zip(positions, flat.T, strict=True)),
        },
        kind="generated",
        units={
            "timestamp": "s",
            **dict.fromkeys(FEATURES, crop if made.prepared["reference"] == "crop" else eyes),
            **dict.fromkeys(positions, crop),
        },
        parameters={
            "model": str(folder),
            "first": str(first) if first else None,
            "fps": made.fps,
            "class_pb": made.class_pb.tolist(),
            "neutral": made.neutral.tolist(),
            "sequences": made.prepared,
        },
        versions=software("torch", "numpy", "pyarrow"),
    )


def first_of(table: str | Path, prepared: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Take the first frame (80,) and the face at rest (40, 2), in the crop's units, from a variant table.

    ``prepared`` are the keywords of :func:`fakeemo.sequences.load_sequences` that the network learned with.

    Raises:
        FakeemoError: if it is no variant table, or holds no usable sequence.
    """
    _, header = read_table(table, ["variant"])
    if header["kind"] != "variants":
        raise FakeemoError(f"{table}: holds {header['kind']}, not variants; they are in results/variants")
    if header["status"] != "ok":
        raise FakeemoError(f"{table}: {header['reason']} [{header['status']}]; name the table of another video")
    first = load_sequences([table], **prepared).x[0, 0]
    as_filmed = {"reference": "crop", "components": None, "onset_window_s": None}
    positions = load_sequences([table], **{**prepared, **as_filmed}).x[0]
    neutral = positions[: prepared["neutral_frames"]].mean(axis=0) if prepared["reference"] == "neutral" else first
    return first, neutral.reshape(2, N_POINTS).T.astype(np.float64)


def at_rest(reference: str) -> tuple[np.ndarray, np.ndarray]:
    """Give dlib's mean face as a first frame (80,) and as positions (40, 2) in a face crop of [-1, 1]."""
    box = predictor_box(Box(-1, -1, 2, 2))
    neutral = mean_face()[0] * (box.w, box.h) + (box.x, box.y)
    first = np.zeros(2 * N_POINTS) if reference == "neutral" else neutral.T.ravel()
    return first.astype(np.float32), neutral


def on_face(x: np.ndarray, neutral: np.ndarray, reference: str) -> np.ndarray:
    """Turn sequences ``(n, time, 80)`` into positions ``(n, time, 40, 2)`` in the units of ``neutral`` (40, 2)."""
    points = np.stack([x[..., :N_POINTS], x[..., N_POINTS:]], axis=-1).astype(np.float64)
    if reference == "crop":
        return points
    unit = np.linalg.norm(neutral[OUTER_CORNERS[1]] - neutral[OUTER_CORNERS[0]]) / 4
    shown: np.ndarray = neutral + unit * points
    return shown
