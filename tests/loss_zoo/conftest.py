"""One pair, given as numbers, through a loss."""

import pytest
import torch

from swift_core.testing.outputs import given_pairs


def evaluate(loss, chosen, rejected, reference_chosen=0.0, reference_rejected=0.0, lengths=(1, 1), margin=0.0):
    """Return the loss of one pair as a float, in float64."""
    number = lambda value: torch.tensor([value], dtype=torch.float64)  # noqa: E731 - used six times below
    output = loss(
        given_pairs(
            chosen_logps=number(chosen),
            rejected_logps=number(rejected),
            reference_chosen_logps=number(reference_chosen),
            reference_rejected_logps=number(reference_rejected),
            chosen_lengths=torch.tensor([lengths[0]]),
            rejected_lengths=torch.tensor([lengths[1]]),
            margins=number(margin),
        )
    )
    return output.losses.item()


@pytest.fixture(scope="session")
def one_pair_loss():
    """Return `evaluate`."""
    return evaluate
