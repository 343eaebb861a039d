"""The 2D Grid LSTM (section 2.3.4 and Fig. 4 of the paper; Kalchbrenner, Danihelka & Graves 2016).

A column of blocks stands between the context input and the hidden layer. Each block holds two LSTMs: one along time,
whose memory stays in the block from frame to frame, and one along depth, whose hidden vector rises from block to
block. The depth-wise weights are shared by all blocks, the time-wise ones are each block's own.
"""

import math

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]
"""Time-wise hidden vectors and memories, ``(layers, batch, hidden)`` each."""


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
        zeros = self.feed.weight.new_zeros(self.layers, batch, self.hidden)
        return zeros, zeros

    def forward(self, context: Tensor, state: State) -> tuple[Tensor, State]:
        """Take one frame's step.

        Args:
            context: ``(batch, context)``.
            state: what the frame before left behind.

        Returns:
            The hidden vector that leaves the top of the column, ``(batch, hidden)``, and the new state.
        """
        h_d = self.feed(context)
        c_d = torch.zeros_like(h_d)
        h_t, c_t = [], []
        for layer in range(self.layers):
            gates = torch.addmm(self.time_bias_t[layer], state[0][layer], self.time_weight_t[layer].T)
            gates = torch.addmm(gates + self.time_bias_d[layer], h_d, self.time_weight_d[layer].T)
            h, c = _lstm(gates, state[1][layer])
            h_t.append(h)
            c_t.append(c)
            gates = torch.addmm(self.depth_bias_t, h, self.depth_weight_t.T)
            gates = torch.addmm(gates + self.depth_bias_d, h_d, self.depth_weight_d.T)
            h_d, c_d = _lstm(gates, c_d)
        return h_d, (torch.stack(h_t), torch.stack(c_t))


def _lstm(gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Give hidden vector and memory, ``(batch, hidden)`` each, from ``(batch, 4 hidden)`` summed inputs."""
    i, f, o, g = gates.chunk(4, dim=1)
    memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(memory), memory
