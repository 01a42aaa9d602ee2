"""Sampled completions with random ratios and advantages, and the formulas of the papers in plain Python."""

import math

import pytest
import torch

from swift_core.testing.outputs import given_policy

MAX_LENGTH = 8


class Batch:
    """Rows of given lengths: what a loss is fed with, and the same numbers as lists of tokens."""

    def __init__(self, seed, lengths, *, spread=0.5, dtype=torch.float64):
        generator = torch.Generator().manual_seed(seed)
        shape = (len(lengths), max([*lengths, 1]) + 1)
        noise = torch.randn(5, *shape, generator=generator, dtype=dtype)
        self.lengths = lengths
        self.mask = torch.arange(shape[1]) < torch.tensor(lengths)[:, None]
        self.old_logps = -noise[0].abs() - 0.1
        self.logps = (self.old_logps + spread * noise[1]).requires_grad_()
        self.reference_logps = self.old_logps + 0.5 * noise[2]
        self.advantages = noise[3, :, :1].expand(shape)
        self.values = noise[4].clone().requires_grad_()
        self.old_values, self.returns = noise[4] + noise[2], noise[0]

    def outputs(self):
        names = ("logps", "old_logps", "reference_logps", "advantages", "mask", "values", "old_values", "returns")
        return given_policy(MAX_LENGTH, **{name: getattr(self, name) for name in names})

    def tokens(self, row):
        """Return (ratio, advantage, log-probability, reference's log-probability) of each token of a row."""
        columns = [x[row, : self.lengths[row]].tolist() for x in (self.logps, self.old_logps, self.reference_logps)]
        advantage = self.advantages[row, 0].item()
        return [(math.exp(new - old), advantage, new, ref) for new, old, ref in zip(*columns, strict=True)]


def run(loss, batch):
    """Return the losses of a batch as a list, and its weights or None."""
    output = loss(batch.outputs())
    return output.losses.tolist(), None if output.weights is None else output.weights.tolist()


def check_extremes(loss):
    """Fail unless value and gradient are finite in float32 at log-ratios of +-1000, empty completions among them."""
    for change in (1000.0, -1000.0):
        for sign in (1.0, -1.0):
            batch = Batch(1, [3, 0, 5], dtype=torch.float32)
            batch.logps = (batch.old_logps + change).detach().requires_grad_()
            batch.advantages = sign * batch.advantages.abs()
            output = loss(batch.outputs())
            output.losses.sum().backward()
            assert torch.isfinite(output.losses).all()
            assert torch.isfinite(batch.logps.grad).all()
            assert (batch.logps.grad[~batch.mask] == 0).all()


@pytest.fixture(scope="session")
def make_batch():
    """Return `Batch`."""
    return Batch


@pytest.fixture(scope="session")
def losses_and_weights():
    """Return `run`."""
    return run


@pytest.fixture(scope="session")
def finite_at_extremes():
    """Return `check_extremes`."""
    return check_extremes


@pytest.fixture(scope="session")
def one_completion():
    """Return a function that gives the loss and the gradients of one completion: ratios, advantage -> both."""

    def one(loss, ratios, advantage):
        count = len(ratios)
        logps = torch.tensor([ratios], dtype=torch.float64).log().requires_grad_()
        zeros = torch.zeros(1, count, dtype=torch.float64)
        names = ("old_logps", "reference_logps", "values", "old_values", "returns")
        outputs = given_policy(
            MAX_LENGTH,
            logps=logps,
            advantages=torch.full((1, count), float(advantage), dtype=torch.float64),
            mask=torch.ones(1, count, dtype=torch.bool),
            **dict.fromkeys(names, zeros),
        )
        losses = loss(outputs).losses
        losses.sum().backward()
        return losses.item(), logps.grad[0].tolist()

    return one
