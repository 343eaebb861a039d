"""The LSTM with parametric bias: network, generation mode, and its file (sections 2.3, 2.3.2 and 2.3.5, Fig. 3).

Symbols: ``x_t`` the landmarks of frame t (80 numbers), ``p`` the parametric bias (PB, 64), ``z_t`` the context (64),
hidden layers of 512. One step::

    top      = relu(GridLSTM(z_t))                  zero context and state before the first frame
    hidden   = relu(W_p p) + top + relu(W_x x_t)    or, with ``pb_activation: linear``, W_p p + top + relu(W_x x_t)
    y_t      = tanh(W_y hidden)                     the prediction of x_{t+1}
    z_{t+1}  = W_z top      or     W_z hidden

The paper gives the sizes and the connections; the activations are those of its authors' code. There the next context
comes from ``top`` alone, so that neither landmarks nor PB ever enter the Grid LSTM: it is a clock, the same for every
sequence, and is computed once for a batch. With ``context_from: hidden`` it remembers what was seen, as the Jordan
network of section 2.3 does. Where relu(W_p p) is zero in all units, as can happen in a trained network, so is the
gradient of p, and recognition stands still there; ``pb_activation: linear`` always lets it through.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fakeemo.errors import FakeemoError, check_word
from fakeemo.files import replacing
from fakeemo.grid_lstm import FusedWeights, GridLSTM, State

CLASSES = ("genuine", "fake")
"""The order of the two rows of ``class_pb``."""


@dataclass(frozen=True)
class NetworkSettings:
    """Sizes of the network (section 2.3.5), and what its output means.

    ``predict`` is ``position`` where the output is the next frame, as in the paper, or ``change`` where it is added
    to the frame put in. For ``context_from``, ``top`` or ``hidden``, and ``pb_activation``, ``relu`` or ``linear``, see
    the head of this module.
    """

    features: int = 80
    pb: int = 64
    context: int = 64
    hidden: int = 512
    layers: int = 4
    predict: str = "position"
    context_from: str = "top"
    pb_activation: str = "relu"

    def __post_init__(self) -> None:
        """Raise :class:`FakeemoError` where a word is not one of those above."""
        check_word("network.predict", self.predict, ("position", "change"))
        check_word("network.context_from", self.context_from, ("top", "hidden"))
        check_word("network.pb_activation", self.pb_activation, ("relu", "linear"))


class LSTMPB(nn.Module):
    """The network of Fig. 3, with the two PB vectors it has learned: ``class_pb`` ``(2, pb)``, genuine then fake."""

    class_pb: Tensor

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        self.grid = GridLSTM(settings.context, settings.hidden, settings.layers)
        self.context = nn.Linear(settings.hidden, settings.context)
        self.from_x = nn.Linear(settings.features, settings.hidden)
        self.from_pb = nn.Linear(settings.pb, settings.hidden)
        self.output = nn.Linear(settings.hidden, settings.features)
        for layer in (self.grid.feed, self.context, self.from_x, self.from_pb, self.output):
            bound = 1 / math.sqrt(layer.in_features)
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.uniform_(layer.bias, -bound, bound)
        # PB vectors start at zero (section 2.3.6). Equations 1-2 move them, never the optimiser of the weights.
        self.register_buffer("class_pb", torch.zeros(2, settings.pb))

    def forward(
        self, x: Tensor, p: Tensor, closed_loop: float = 0.0, clock: Tensor | None = None, segment: int = 0
    ) -> Tensor:
        """Predict every next frame.

        Args:
            x: landmarks, ``(batch, time, features)``.
            p: one PB vector a sequence, ``(batch, pb)``.
            closed_loop: the share of the network's own last prediction in its input; the rest is the observed frame.
                0 is teacher forcing, 1 runs free from the first frame on.
            clock: what :meth:`clock` gave, where the weights have not changed since.
            segment: with ``context_from: hidden``, for how many frames at a time the way back keeps what it needs; it
                goes forward once more for each segment, which takes a third more time and a fraction of the memory.
                0 keeps everything.

        Returns:
            ``(batch, time - 1, features)``: entry t predicts frame t + 1.
        """
        clock = self.clock(x.shape[1] - 1) if clock is None else clock
        if clock is not None and closed_loop == 0:
            return self.respond(self.drive(x, clock), p, x)
        bias = self._bias(p)
        frames = x[:, :-1].permute(1, 2, 0).contiguous()
        if clock is not None:
            y: Tensor = _FreeRun.apply(  # type: ignore[no-untyped-call]
                frames,
                bias + clock[: len(frames), :, None],
                self.from_x.weight,
                self.from_x.bias,
                self.output.weight,
                self.output.bias,
                closed_loop,
                self.settings.predict == "change",
            )
        else:
            y = self._remember(frames, bias, closed_loop, segment)
        return y.permute(2, 0, 1)

    def clock(self, steps: int) -> Tensor | None:
        """Give ``top`` of every step, ``(steps, hidden)``, or nothing where it depends on more than time."""
        if self.settings.context_from == "hidden":
            return None
        weights = self.grid.fused()
        context, state = self._start(1)
        tops: list[Tensor] = []
        for _ in range(steps):
            top, state = self.grid(context, state, weights)
            tops.append(torch.relu(top))
            context = _columns(self.context, tops[-1])
        return torch.stack(tops)[..., 0]

    def drive(self, x: Tensor, clock: Tensor) -> Tensor:
        """Give what the output units receive without the PB: ``(batch, time - 1, features)``.

        As the hidden layer is a sum, the rest is the PB's: W_y hidden = W_y (top + relu(W_x x)) + W_y relu(W_p p).
        Under teacher forcing with ``context_from: top`` the first part does not depend on the PB, so recognition mode
        computes it once for all of its steps.
        """
        drive: Tensor = self.output(clock[: x.shape[1] - 1] + torch.relu(self.from_x(x[:, :-1])))
        return drive

    def respond(self, drive: Tensor, p: Tensor, x: Tensor) -> Tensor:
        """Predict every next frame, as :meth:`forward` does, from what :meth:`drive` gave for ``x``."""
        y = torch.tanh(drive + (self.output.weight @ self._bias(p)).T[:, None])
        return x[:, :-1] + y if self.settings.predict == "change" else y

    def _bias(self, p: Tensor) -> Tensor:
        """Give what PB vectors ``(batch, pb)`` bring to the hidden layer, ``(hidden, batch)``."""
        bias = _columns(self.from_pb, p.T)
        return torch.relu(bias) if self.settings.pb_activation == "relu" else bias

    def _start(self, batch: int) -> tuple[Tensor, State]:
        """Give context and state before the first frame: zeros."""
        return self.context.weight.new_zeros(self.settings.context, batch), self.grid.zero_state(batch)

    def _remember(self, frames: Tensor, bias: Tensor, closed_loop: float, segment: int) -> Tensor:
        """Predict with a Grid LSTM that sees the sequence: ``(time, features, batch)`` from the same."""
        weights = self.grid.fused()
        context, state = self._start(bias.shape[1])
        last: Tensor | None = None
        outputs: list[Tensor] = []
        for part in torch.split(frames, segment or len(frames)):
            now = (weights, part, bias, closed_loop, last, context, *state)
            if segment and torch.is_grad_enabled():
                y, context, *h_and_c = checkpoint(self._segment, *now, use_reentrant=False, preserve_rng_state=False)
            else:
                y, context, *h_and_c = self._segment(*now)
            outputs.append(y)
            last, state = y[-1], (h_and_c[0], h_and_c[1])
        return torch.cat(outputs)

    def _segment(
        self,
        weights: FusedWeights,
        frames: Tensor,
        bias: Tensor,
        closed_loop: float,
        last: Tensor | None,
        context: Tensor,
        *state: Tensor,
    ) -> tuple[Tensor, ...]:
        """Take the steps of some frames on; give predictions, context and the Grid LSTM's state after them."""
        weights.begin()
        h_t, c_t = state
        outputs: list[Tensor] = []
        for shown in frames.unbind():
            if last is not None and closed_loop:
                shown = closed_loop * last + (1 - closed_loop) * shown
            top, (h_t, c_t) = self.grid(context, (h_t, c_t), weights)
            hidden = bias + torch.relu(top) + torch.relu(_columns(self.from_x, shown))
            last = torch.tanh(_columns(self.output, hidden))
            if self.settings.predict == "change":
                last = shown + last
            context = _columns(self.context, hidden)
            outputs.append(last)
        return torch.stack(outputs), context, h_t, c_t

    @torch.no_grad()
    def generate(self, p: Tensor, first: Tensor, length: int) -> Tensor:
        """Let the network run free (section 2.3.2): the sequences that its PB vectors stand for.

        Args:
            p: ``(batch, pb)``.
            first: first frames, ``(batch, features)``.
            length: frames to give, the first included.

        Returns:
            ``(batch, length, features)``.
        """
        if length < 2:
            raise FakeemoError(f"a generated sequence has at least 2 frames, not {length}")
        x = first.unsqueeze(1).expand(-1, length, -1)
        return torch.cat([first.unsqueeze(1), self(x, p, closed_loop=1.0)], dim=1)


def _columns(layer: nn.Linear, x: Tensor) -> Tensor:
    """Apply a layer to columns, ``(out, batch)`` from ``(in, batch)``."""
    return torch.addmm(layer.bias[:, None], layer.weight, x)


class _FreeRun(torch.autograd.Function):
    """The way from input to prediction, frame by frame, where a prediction goes into the next input.

    Takes frames ``(time, features, batch)`` and what PB and clock bring to the hidden layer, ``(time, hidden, batch)``;
    gives predictions ``(time, features, batch)``. As in the Grid LSTM, the weights' gradients are one product each.
    """

    @staticmethod
    def forward(
        ctx: Any,
        frames: Tensor,
        above: Tensor,
        weight_x: Tensor,
        bias_x: Tensor,
        weight_y: Tensor,
        bias_y: Tensor,
        closed_loop: float,
        change: bool,
    ) -> Tensor:
        shown, driven, hidden, y = frames.clone(), torch.empty_like(above), above.clone(), torch.empty_like(frames)
        tanh = torch.empty_like(frames) if change else y
        for t in range(len(frames)):
            if t:
                shown[t].lerp_(y[t - 1], closed_loop)
            torch.addmm(bias_x[:, None], weight_x, shown[t], out=driven[t]).relu_()
            hidden[t] += driven[t]
            torch.addmm(bias_y[:, None], weight_y, hidden[t], out=tanh[t]).tanh_()
            if change:
                torch.add(shown[t], tanh[t], out=y[t])
        ctx.closed_loop, ctx.change = closed_loop, change
        ctx.save_for_backward(shown, driven, hidden, tanh, weight_x, weight_y)
        return y

    @staticmethod
    def backward(ctx: Any, d_y: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        shown, driven, hidden, tanh, weight_x, weight_y = ctx.saved_tensors
        d_above, d_driven, d_sum = torch.empty_like(hidden), torch.empty_like(driven), torch.empty_like(tanh)
        from_next = torch.zeros_like(d_y[0])
        for t in reversed(range(len(d_y))):
            d_out = torch.add(d_y[t], from_next)
            torch.ops.aten.tanh_backward.grad_input(d_out, tanh[t], grad_input=d_sum[t])
            torch.mm(weight_y.T, d_sum[t], out=d_above[t])
            torch.ops.aten.threshold_backward.grad_input(d_above[t], driven[t], 0, grad_input=d_driven[t])
            from_next = weight_x.T @ d_driven[t]
            if ctx.change:
                from_next += d_out
            from_next *= ctx.closed_loop
        gradients: list[Tensor | None] = [None, None, None, None]
        if any(ctx.needs_input_grad[2:6]):
            both = ([0, 2], [0, 2])
            gradients = [
                torch.tensordot(d_driven, shown, both),
                d_driven.sum(dim=(0, 2)),
                torch.tensordot(d_sum, hidden, both),
                d_sum.sum(dim=(0, 2)),
            ]
        return None, d_above, *gradients, None, None


def prediction_error(y: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    """Give the mean square error of each sequence, ``(batch,)``.

    Args:
        y: predictions, ``(batch, time - 1, features)``.
        x: landmarks, ``(batch, time, features)``.
        mask: bool ``(batch, time)``, true where a face was seen; only those frames are targets.
    """
    counted = mask[:, 1:].to(y.dtype)
    squares = ((y - x[:, 1:]) ** 2).mean(dim=2) * counted
    return squares.sum(dim=1) / counted.sum(dim=1).clamp(min=1)


def save_network(model: LSTMPB, folder: str | Path, **facts: Any) -> None:
    """Write ``lstm_pb.safetensors`` and ``config.json`` (network sizes and ``facts``) into ``folder``."""
    folder = Path(folder)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with replacing(folder / "lstm_pb.safetensors") as temporary:
        save_file(tensors, temporary)
    with replacing(folder / "config.json") as temporary:
        temporary.write_text(json.dumps({"network": asdict(model.settings), **facts}, indent=2, sort_keys=True) + "\n")


def load_network(folder: str | Path, device: torch.device | str = "cpu") -> tuple[LSTMPB, dict[str, Any]]:
    """Read what :func:`save_network` wrote, as ``(network, everything in config.json)``.

    Raises:
        FakeemoError: if a file is missing or damaged, or the tensors do not fit the sizes in ``config.json``.
    """
    folder = Path(folder)
    try:
        facts = json.loads((folder / "config.json").read_text())
        model = LSTMPB(NetworkSettings(**facts["network"]))
        with safe_open(folder / "lstm_pb.safetensors", framework="pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, FakeemoError) as error:
        raise FakeemoError(
            f"{folder}: no LSTM-PB can be read there ({error}); name a folder in results/models, or, if it is one,"
            " delete it and train again"
        ) from error
    expected = model.state_dict()
    for name in sorted(expected.keys() | found.keys()):
        shapes = [tuple(tensors[name].shape) if name in tensors else None for tensors in (expected, found)]
        if shapes[0] != shapes[1]:
            raise FakeemoError(
                f"{folder}/lstm_pb.safetensors: tensor '{name}' has shape {shapes[1]}, config.json asks for"
                f" {shapes[0]}; the two files do not belong together: delete both and train again"
            )
    model.load_state_dict(found)
    return model.to(device), facts
