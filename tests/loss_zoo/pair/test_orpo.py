from decimal import Decimal, localcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_pairs
from swift_loss_zoo.pair.orpo import ORPO

mean = st.floats(-20, -1e-4)
length = st.integers(1, 200)


def loss(orpo, chosen, rejected, chosen_length, rejected_length, dtype=torch.float64):
    return orpo(
        given_pairs(
            chosen_logps=torch.tensor([chosen], dtype=dtype, requires_grad=True),
            rejected_logps=torch.tensor([rejected], dtype=dtype),
            chosen_lengths=torch.tensor([chosen_length]),
            rejected_lengths=torch.tensor([rejected_length]),
        )
    )


def formula(mean_chosen, mean_rejected, weight):
    """Return the paper's loss in 50 decimal digits."""
    with localcontext(prec=50):
        odds = []
        for value in (mean_chosen, mean_rejected):
            p = Decimal(value).exp()
            odds.append((p / (1 - p)).ln())
        x = odds[0] - odds[1]
        log_sigmoid = -(1 + (-x).exp()).ln()
        return float(-Decimal(mean_chosen) - Decimal(weight) * log_sigmoid)


@given(mean_chosen=mean, mean_rejected=mean, chosen_length=length, rejected_length=length, weight=st.floats(0, 2))
def test_matches_the_formula(mean_chosen, mean_rejected, chosen_length, rejected_length, weight):
    output = loss(
        ORPO(beta=weight), mean_chosen * chosen_length, mean_rejected * rejected_length, chosen_length, rejected_length
    )
    assert output.losses.item() == pytest.approx(formula(mean_chosen, mean_rejected, weight), rel=1e-6)


@pytest.mark.parametrize("chosen", [0.0, -1e-8, -1e-4, -5.0, -1e4])
def test_value_and_gradient_are_finite_everywhere(chosen):
    values = given_pairs(
        chosen_logps=(chosen_logps := torch.tensor([chosen], requires_grad=True)),
        rejected_logps=torch.tensor([-1e-8]),
        chosen_lengths=torch.tensor([1]),
        rejected_lengths=torch.tensor([1]),
    )
    losses = ORPO()(values).losses
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(chosen_logps.grad).all()


def test_equal_completions_differ_by_log_two():
    output = loss(ORPO(beta=1.0), -4.0, -4.0, 4, 4)
    assert output.losses.item() == pytest.approx(1.0 + 0.6931471805599453)


def test_rejects_a_negative_weight():
    with pytest.raises(ValueError, match=r"^beta must be >= 0, got -0\.1$"):
        ORPO(beta=-0.1)
