"""One step of learning mode (sections 2.3.1 and 2.3.6): its settings, its optimisers, and what they are given.

Two things are learned side by side. The weights follow the gradient of the mean square prediction error; each PB
vector follows equations 1-2: the error back-propagated to it, averaged over its sequence's time steps, is added at a
rate of its own. As the loss of a sequence is already the mean over its steps, ``-dE/dp`` *is* equation 1.

A step that runs out of memory is taken with fewer sequences at a time, to the same end within rounding.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fakeemo.cuda_graph import Replayed
from fakeemo.devices import name_of, that_fits
from fakeemo.errors import FakeemoError, check_word
from fakeemo.lstm_pb import LSTMPB, prediction_error
from fakeemo.sequences import Sequences


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
        pb_noise: standard deviation of the Gaussian noise that PB vectors bear in each step. The network must then do
            as well with every vector near by, and so gives alike movements alike vectors, those of new videos included
            (a variational PB; Kingma & Welling 2014, Ahmadi & Tani 2019, here with one width for all numbers).
        pb_decay: weight of the penalty ``|p|^2 / 2`` on a sequence's loss, the prior of the same: without it PB vectors
            grow until the noise is nothing to them.
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
    pb_noise: float = 0.0
    pb_decay: float = 0.0
    clip_norm: float = 0.0
    segment: int = 0

    def __post_init__(self) -> None:
        """Raise :class:`FakeemoError` where a word is not one of those above."""
        check_word("learning.optimiser", self.optimiser, ("sgd", "adam"))
        check_word("learning.pb_optimiser", self.pb_optimiser, ("sgd", "adam"))
        check_word("learning.schedule", self.schedule, ("plateau", "linear"))
        check_word("learning.pb", self.pb, ("class", "sequence"))


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


def learn_batch(
    model: LSTMPB,
    optimiser: torch.optim.Optimizer,
    pb: Tensor,
    pb_optimiser: torch.optim.Optimizer,
    batch: Sequences,
    owner: np.ndarray,
    learning: LearningSettings,
    micro_batch: int | None = None,
    random: np.random.Generator | None = None,
    passes: Replayed | None = None,
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
        random: draws ``learning.pb_noise``; needed where there is any.
        passes: what :func:`passes_of` gave for ``model``, to be kept from step to step.

    Returns:
        The loss, and ``micro_batch``, halved as often as the device's memory asked for.

    Raises:
        FakeemoError: if the memory does not suffice for one sequence.
    """
    own = pb[torch.from_numpy(owner).to(pb.device)]
    noisy = own + learning.pb_noise * _noise(own, random) if learning.pb_noise else own
    micro_batch, passes = micro_batch or len(batch), passes or passes_of(model, learning)
    at_once = min(micro_batch, len(batch))
    fitting = that_fits(lambda size: gradients(model, passes, noisy, batch, size), at_once)
    if fitting is None:
        raise FakeemoError(
            f"{name_of(pb.device)}: out of memory with one sequence of {batch.x.shape[1]} frames; lower"
            " network.hidden or network.layers, set learning.segment (with network.context_from: hidden),"
            " shorten videos by start_s and end_s, or use a device with more memory"
        )
    (loss, delta), size = fitting
    if learning.clip_norm:
        torch.nn.utils.clip_grad_norm_(model.parameters(), learning.clip_norm)
    optimiser.step()
    update_pb(pb, owner, delta - learning.pb_decay * own, pb_optimiser)
    return loss, size if size < at_once else micro_batch


def _noise(like: Tensor, random: np.random.Generator | None) -> Tensor:
    """Draw standard normal numbers on the CPU, so that every device learns under the same ones."""
    if random is None:
        raise ValueError("pb_noise needs a random generator")
    return torch.from_numpy(random.standard_normal(tuple(like.shape), np.float32)).to(like.device)


def passes_of(model: LSTMPB, learning: LearningSettings) -> Replayed:
    """Give the way forward and back through the network, for :func:`gradients`.

    From landmarks ``(batch, time, features)``, mask ``(batch, time)``, PB vectors ``(batch, pb)`` and a number that the
    loss is divided by, to errors ``(batch,)``, their gradients at the PB vectors, and those at the weights.
    """

    def forward_and_back(x: Tensor, mask: Tensor, p: Tensor, divisor: Tensor) -> list[Tensor]:
        p = p.detach().requires_grad_()
        error = prediction_error(model(x, p, learning.closed_loop, segment=learning.segment), x, mask)
        gradients = torch.autograd.grad(error.sum() / divisor, [p, *model.parameters()], materialize_grads=True)
        return [error.detach(), *gradients]

    return Replayed(forward_and_back)


def gradients(model: LSTMPB, passes: Replayed, p: Tensor, batch: Sequences, micro_batch: int) -> tuple[float, Tensor]:
    """Set the weights' gradients to those of the batch's mean loss, ``micro_batch`` sequences at a time.

    Gives the summed loss, and each sequence's ``-dE/dp`` (equation 1), ``(batch, pb)``.
    """
    model.zero_grad(set_to_none=True)
    divisor, losses, deltas = p.new_tensor(len(batch)), [], []
    for i in range(0, len(batch), micro_batch):
        part = slice(i, i + micro_batch)
        x, mask = torch.from_numpy(batch.x[part]).to(p.device), torch.from_numpy(batch.mask[part]).to(p.device)
        error, to_p, *to_weights = passes(x, mask, p[part], divisor)
        for parameter, gradient in zip(model.parameters(), to_weights, strict=True):
            # Two biases that are added have one tensor for both their gradients, and what follows works in place.
            parameter.grad = gradient.clone() if parameter.grad is None else parameter.grad.add_(gradient)
        deltas.append(-to_p * len(batch))
        losses.append(error)
    return float(torch.cat(losses).sum()), torch.cat(deltas)  # the one time that a batch waits for a GPU


def update_pb(pb: Tensor, owner: np.ndarray, delta: Tensor, optimiser: torch.optim.Optimizer) -> None:
    """Apply equation 2, in place; with plain gradient descent it is ``p <- p + rate * delta``.

    ``delta`` ``(batch, pb)`` holds each sequence's update after equation 1, and ``owner`` ``(batch,)`` its row of
    ``pb``; where several sequences of the batch share a PB vector, it takes their mean.
    """
    found = np.unique(owner, return_inverse=True, return_counts=True)
    vectors, index, counts = (torch.from_numpy(part).to(pb.device) for part in found)
    mean = delta.new_zeros(len(vectors), pb.shape[1]).index_add_(0, index, delta) / counts[:, None]
    # Sorted and distinct, as np.unique gives them, so that no optimiser sorts again (and waits for a GPU to do so).
    pb.grad = torch.sparse_coo_tensor(vectors[None], -mean, pb.shape, check_invariants=False, is_coalesced=True)
    optimiser.step()
    pb.grad = None
