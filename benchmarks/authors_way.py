"""The network as its authors ran it, for comparison: one sequence at a time, one frame at a time, plain autograd.

A port of what is known of their code (see docs/differences.md), written for speed as little as theirs: every product
by itself, the Grid LSTM stepped anew for every sequence, one step of gradient descent a sequence. Their shortcut of
cutting the gradient between frames, which changes the result, is left out.
"""

import torch
from torch import Tensor, nn


class AuthorsNetwork(nn.Module):
    """LSTM-PB of the paper's size: 80 landmarks, 64 PB, 64 context, four layers of 512."""

    def __init__(self, features: int = 80, pb: int = 64, context: int = 64, hidden: int = 512, layers: int = 4) -> None:
        super().__init__()
        self.hidden, self.n_context = hidden, context
        self.feed = nn.Linear(context, hidden)
        self.time_t = nn.ModuleList(nn.Linear(hidden, 4 * hidden) for _ in range(layers))
        self.time_d = nn.ModuleList(nn.Linear(hidden, 4 * hidden) for _ in range(layers))
        self.depth_t, self.depth_d = nn.Linear(hidden, 4 * hidden), nn.Linear(hidden, 4 * hidden)
        self.context, self.from_x = nn.Linear(hidden, context), nn.Linear(features, hidden)
        self.from_pb, self.output = nn.Linear(pb, hidden), nn.Linear(hidden, features)

    def forward(self, x: Tensor, p: Tensor) -> Tensor:
        """Predict the next frame of each of ``(time, features)``, ``(time - 1, features)``, under ``p`` ``(pb,)``."""
        z = x.new_zeros(1, self.n_context)
        h_t = [x.new_zeros(1, self.hidden) for _ in self.time_t]
        c_t = list(h_t)
        outputs = []
        for frame in x[:-1]:
            h_d = self.feed(z)
            c_d = torch.zeros_like(h_d)
            for layer, (time_t, time_d) in enumerate(zip(self.time_t, self.time_d, strict=True)):
                h_t[layer], c_t[layer] = lstm(time_t(h_t[layer]) + time_d(h_d), c_t[layer])
                h_d, c_d = lstm(self.depth_t(h_t[layer]) + self.depth_d(h_d), c_d)
            top = torch.relu(h_d)
            z = self.context(top)
            hidden = torch.relu(self.from_pb(p[None])) + top + torch.relu(self.from_x(frame[None]))
            outputs.append(torch.tanh(self.output(hidden)))
        return torch.cat(outputs)


def lstm(gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Give hidden vector and memory from the summed inputs."""
    i, f, o, g = gates.chunk(4, dim=1)
    memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(memory), memory


def learn_sequence(model: AuthorsNetwork, optimiser: torch.optim.Optimizer, x: Tensor, p: Tensor) -> None:
    """Take one step on one sequence."""
    optimiser.zero_grad()
    torch.autograd.backward(((model(x, p) - x[1:]) ** 2).mean())
    optimiser.step()
