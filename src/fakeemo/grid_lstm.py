"""The 2D Grid LSTM (section 2.3.4 and Fig. 4 of the paper; Kalchbrenner, Danihelka & Graves 2016).

A column of blocks stands between the context input and the hidden layer. Each block holds two LSTMs: one along time,
whose memory stays in the block from frame to frame, and one along depth, whose hidden vector rises from block to
block. The depth-wise weights are shared by all blocks, the time-wise ones are each block's own.

Here a vector is a column and a batch is a row of columns, ``(hidden, batch)``: as the equations are written, and as
matrix products of this shape are fastest. What makes the column fast, by its own backward pass:

- the two products that enter an LSTM are one, of both weight matrices side by side with both inputs stacked;
- gradients of the weights are not taken frame by frame. Each frame leaves its inputs and the gradients of its gates on
  a list, and one large product for all frames comes at the end.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]
"""Time-wise hidden vectors and memories, ``(layers, hidden, batch)`` each."""

_COLUMNS = 64  # at least so many in one product of the weight gradients: fewer would leave the processor waiting


class GridLSTM(nn.Module):
    """``layers`` blocks of ``hidden`` units over a context vector of ``context`` numbers.

    Weights follow ``torch.nn.LSTM``: rows in the order input gate, forget gate, output gate, candidate; one matrix
    and one bias for what comes along time (``_t``) and one for what comes along depth (``_d``).
    """

    def __init__(self, context: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.hidden, self.layers = hidden, layers
        self.feed = nn.Linear(context, hidden)
        self.time_weight_t = nn.Parameter(torch.empty(layers, 4 * hidden, hidden))
        self.time_weight_d = nn.Parameter(torch.empty(layers, 4 * hidden, hidden))
        self.time_bias_t = nn.Parameter(torch.empty(layers, 4 * hidden))
        self.time_bias_d = nn.Parameter(torch.empty(layers, 4 * hidden))
        self.depth_weight_t = nn.Parameter(torch.empty(4 * hidden, hidden))
        self.depth_weight_d = nn.Parameter(torch.empty(4 * hidden, hidden))
        self.depth_bias_t = nn.Parameter(torch.empty(4 * hidden))
        self.depth_bias_d = nn.Parameter(torch.empty(4 * hidden))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights uniformly (section 2.3.6) within 1/sqrt(hidden), and open the time-wise gates.

        The gates' biases of the time-wise LSTMs start at 1, so that memories last from the first epoch on.
        """
        bound = 1 / math.sqrt(self.hidden)
        for name, parameter in self.named_parameters():
            if not name.startswith("feed"):
                nn.init.uniform_(parameter, -bound, bound)
        nn.init.constant_(self.time_bias_t[:, : 3 * self.hidden], 1.0)

    def zero_state(self, batch: int) -> State:
        """Give the state before the first frame: zeros."""
        zeros = self.feed.weight.new_zeros(self.layers, self.hidden, batch)
        return zeros, zeros

    def fused(self) -> "FusedWeights":
        """Give the weights as :meth:`forward` wants them; once for a sequence, not for each of its frames."""
        return FusedWeights(
            torch.cat([self.time_weight_t, self.time_weight_d], dim=2),
            (self.time_bias_t + self.time_bias_d)[..., None],
            torch.cat([self.depth_weight_d, self.depth_weight_t], dim=1),
            (self.depth_bias_d + self.depth_bias_t)[..., None],
        )

    def forward(self, context: Tensor, state: State, weights: "FusedWeights") -> tuple[Tensor, State]:
        """Take one frame's step.

        Args:
            context: ``(context, batch)``.
            state: what the frame before left behind.
            weights: what :meth:`fused` gave.

        Returns:
            The hidden vector that leaves the top of the column, ``(hidden, batch)``, and the new state.
        """
        h_d = torch.addmm(self.feed.bias[:, None], self.feed.weight, context)
        top, h_t, c_t = _Column.apply(weights, weights.anchor, h_d, *state)  # type: ignore[no-untyped-call]
        return top, (h_t, c_t)


class FusedWeights:
    """The weights of a column for a pass over a sequence, and what the frames leave for their gradients.

    Attributes:
        weight_t: ``(layers, 4 hidden, 2 hidden)``, on the block's own last ``h_t`` above ``h_d`` from below.
        bias_t: ``(layers, 4 hidden, 1)``.
        weight_d: ``(4 hidden, 2 hidden)``, on ``h_d`` from below above the new ``h_t``.
        bias_d: ``(4 hidden, 1)``.
        tape: of each frame that went back, its ``states`` and the gradients of its ``gates``, as in :class:`_Column`.
        anchor: a zero that every frame takes in, so that autograd calls for the weights' gradients after all frames'.
    """

    def __init__(self, weight_t: Tensor, bias_t: Tensor, weight_d: Tensor, bias_d: Tensor) -> None:
        self.weight_t, self.bias_t, self.weight_d, self.bias_d = weight_t, bias_t, weight_d, bias_d
        self._transposed: tuple[Tensor, Tensor] | None = None
        self.begin()

    def begin(self) -> None:
        """Begin a segment: the weights' gradients are taken when the frames from here to the next segment went back."""
        self.tape: list[tuple[Tensor, Tensor]] = []
        self.anchor: Tensor = _WeightGradients.apply(  # type: ignore[no-untyped-call]
            self.tape, self.weight_t, self.bias_t, self.weight_d, self.bias_d
        )

    def transposed(self) -> tuple[Tensor, Tensor]:
        """Give ``weight_t`` and ``weight_d`` transposed in memory, which their products are faster with."""
        if self._transposed is None:
            self._transposed = self.weight_t.detach().mT.contiguous(), self.weight_d.detach().mT.contiguous()
        return self._transposed


class _WeightGradients(torch.autograd.Function):
    """Going forward nothing but an anchor; going back, the weights' gradients from what all frames left."""

    @staticmethod
    def forward(ctx: Any, tape: list[tuple[Tensor, Tensor]], *weights: Tensor) -> Tensor:
        ctx.tape = tape
        ctx.shapes = [weight.shape for weight in weights]
        return weights[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, anchor: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        weight_t, bias_t, weight_d, bias_d = (anchor.new_zeros(shape) for shape in ctx.shapes)
        layers, hidden = len(weight_t), len(weight_d) // 4
        for _, gates in ctx.tape:
            sums = gates.sum(dim=-1, keepdim=True)
            bias_t += sums[:, 0]
            bias_d += sums[:, 1].sum(dim=0)
        batch = ctx.tape[0][0].shape[-1]
        frames = -(-_COLUMNS // batch)
        for layer in range(layers):  # outside of the loop over frames, so that a gradient stays in the cache
            for first in range(0, len(ctx.tape), frames):
                part = ctx.tape[first : first + frames]
                states = _side_by_side([states[layer] for states, _ in part])
                gates_t = _side_by_side([gates[layer, 0] for _, gates in part])
                gates_d = _side_by_side([gates[layer, 1] for _, gates in part])
                weight_t[layer].addmm_(gates_t, states[: 2 * hidden].T)
                weight_d.addmm_(gates_d, states[hidden:].T)
        ctx.tape.clear()
        return None, weight_t, bias_t, weight_d, bias_d


def _side_by_side(columns: list[Tensor]) -> Tensor:
    return columns[0] if len(columns) == 1 else torch.cat(columns, dim=1)


class _Column(torch.autograd.Function):
    """One frame's step up the column, and its way back.

    It keeps, of each layer: ``states`` ``(3 hidden, batch)``, from above the time-wise hidden vector of the frame
    before, the depth-wise one from below, and the new time-wise one; and ``gates`` ``(2, 4 hidden, batch)`` of the LSTM
    along time and of that along depth, which the way back overwrites by their gradients.
    """

    @staticmethod
    def forward(
        ctx: Any, weights: FusedWeights, anchor: Tensor, h_d: Tensor, h_t: Tensor, c_t: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        layers, hidden, batch = h_t.shape
        states = h_t.new_empty(layers, 3 * hidden, batch)
        gates = h_t.new_empty(layers, 2, 4 * hidden, batch)
        c_t_new, c_d = torch.empty_like(c_t), torch.empty_like(c_t)
        top, c_d_below = torch.empty_like(h_d), torch.zeros_like(h_d)
        states[:, :hidden] = h_t
        states[0, hidden : 2 * hidden] = h_d
        for layer in range(layers):
            torch.addmm(
                weights.bias_t[layer], weights.weight_t[layer], states[layer, : 2 * hidden], out=gates[layer, 0]
            )
            _lstm(gates[layer, 0], c_t[layer], c_t_new[layer], states[layer, 2 * hidden :])
            torch.addmm(weights.bias_d, weights.weight_d, states[layer, hidden:], out=gates[layer, 1])
            above = states[layer + 1, hidden : 2 * hidden] if layer + 1 < layers else top
            _lstm(gates[layer, 1], c_d_below, c_d[layer], above)
            c_d_below = c_d[layer]
        ctx.weights, ctx.tape = weights, weights.tape
        ctx.save_for_backward(states, gates, c_t, c_t_new, c_d)
        return top, states[:, 2 * hidden :].clone(), c_t_new

    @staticmethod
    def backward(ctx: Any, d_h_d: Tensor, d_h_t: Tensor, d_c_t: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        states, gates, c_t_before, c_t, c_d = ctx.saved_tensors
        layers, hidden, _ = c_t.shape
        weight_t, weight_d = ctx.weights.transposed()
        d_h_t_before, d_c_t_before = torch.empty_like(c_t), torch.empty_like(c_t)
        d_c_d = torch.zeros_like(d_h_d)
        for layer in reversed(range(layers)):
            c_d_below = c_d[layer - 1] if layer else torch.zeros_like(d_h_d)
            d_c_d = _lstm_back(gates[layer, 1], c_d_below, c_d[layer], d_h_d, d_c_d)
            from_depth = weight_d @ gates[layer, 1]
            d_h = d_h_t[layer] + from_depth[hidden:]
            d_c_t_before[layer] = _lstm_back(gates[layer, 0], c_t_before[layer], c_t[layer], d_h, d_c_t[layer])
            from_time = weight_t[layer] @ gates[layer, 0]
            d_h_t_before[layer] = from_time[:hidden]
            d_h_d = from_depth[:hidden] + from_time[hidden:]
        wants_weights = ctx.needs_input_grad[1]
        if wants_weights:
            ctx.tape.append((states, gates))
        return None, d_h_d.new_zeros(()) if wants_weights else None, d_h_d, d_h_t_before, d_c_t_before


def _lstm(gates: Tensor, c_before: Tensor, c: Tensor, h: Tensor) -> None:
    """Write memory ``c`` and hidden vector ``h`` from the memory before and ``(4 hidden, batch)`` summed inputs.

    ``gates`` then holds the gates themselves: input, forget, output, candidate.
    """
    hidden = len(c)
    gates[: 3 * hidden].sigmoid_()
    gates[3 * hidden :].tanh_()
    i, f, o, g = gates.chunk(4)
    torch.mul(f, c_before, out=c)
    c.addcmul_(i, g)
    torch.tanh(c, out=h)
    h.mul_(o)


def _lstm_back(gates: Tensor, c_before: Tensor, c: Tensor, d_h: Tensor, d_c: Tensor) -> Tensor:
    """Overwrite ``gates`` by the gradient of the summed inputs; give the gradient of the memory before."""
    i, f, o, g = gates.chunk(4)
    tanh_c = torch.tanh(c)
    d_c = d_c + torch.ops.aten.tanh_backward.default(d_h * o, tanh_c)
    d_c_before = d_c * f
    d_sigmoid, d_g = torch.cat((d_c * g, d_c * c_before, d_h * tanh_c)), d_c * i
    sigmoid = gates[: len(d_sigmoid)]
    torch.ops.aten.sigmoid_backward.grad_input(d_sigmoid, sigmoid, grad_input=sigmoid)
    torch.ops.aten.tanh_backward.grad_input(d_g, g, grad_input=g)
    return d_c_before
