"""One pair, given as numbers, through a loss; and the extremes that every loss on pairs must stand."""

import itertools

import pytest
import torch

from swift_core.testing.outputs import given_pairs

SUMS = ("chosen_logps", "rejected_logps", "reference_chosen_logps", "reference_rejected_logps")


def outputs(
    chosen, rejected, reference_chosen=0.0, reference_rejected=0.0, lengths=(1, 1), margin=0.0, dtype=torch.float64
):
    """Return the outputs of one pair, and its two log-probabilities as leaves."""
    numbers = (chosen, rejected, reference_chosen, reference_rejected, margin)
    tensors = [torch.tensor([number], dtype=dtype) for number in numbers]
    leaves = [tensor.requires_grad_() for tensor in tensors[:2]]
    pairs = given_pairs(
        **dict(zip((*SUMS, "margins"), tensors, strict=True)),
        chosen_lengths=torch.tensor([lengths[0]]),
        rejected_lengths=torch.tensor([lengths[1]]),
    )
    return pairs, leaves


def evaluate(loss, *numbers, **named):
    """Return the loss of one pair as a float, in float64."""
    return loss(outputs(*numbers, **named)[0]).losses.item()


def differentiate(loss, *numbers, **named):
    """Return the derivatives of one pair's loss by the chosen and by the rejected log-probability."""
    pairs, leaves = outputs(*numbers, **named)
    loss(pairs).losses.sum().backward()
    return tuple(0.0 if leaf.grad is None else leaf.grad.item() for leaf in leaves)


def try_extremes(loss):
    """Fail unless value and gradient are finite in float32 at log-ratios of +-1000, with and without tokens."""
    policies = itertools.product((0.0, -1000.0), (0.0, -1000.0), (0.0, -1000.0), (0.0, -1000.0), (0, 3))
    for chosen, rejected, reference_chosen, reference_rejected, length in policies:
        numbers = (chosen, rejected, reference_chosen, reference_rejected)
        pairs, leaves = outputs(*numbers, lengths=(length, 3), dtype=torch.float32)
        value = loss(pairs).losses
        value.sum().backward()
        gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
        assert torch.isfinite(torch.cat([value.detach(), *gradients])).all(), (numbers, length)


@pytest.fixture(scope="session")
def one_pair_loss():
    """Return `evaluate`."""
    return evaluate


@pytest.fixture(scope="session")
def one_pair_gradient():
    """Return `differentiate`."""
    return differentiate


@pytest.fixture(scope="session")
def finite_at_extremes():
    """Return `try_extremes`."""
    return try_extremes
