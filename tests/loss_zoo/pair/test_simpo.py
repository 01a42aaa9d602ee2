import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_pairs
from swift_loss_zoo.pair.simpo import SimPO

logp = st.floats(-200, 0)
length = st.integers(1, 500)


def loss(simpo, chosen, rejected, chosen_length, rejected_length):
    return simpo(
        given_pairs(
            chosen_logps=torch.tensor([chosen], dtype=torch.float64),
            rejected_logps=torch.tensor([rejected], dtype=torch.float64),
            chosen_lengths=torch.tensor([chosen_length]),
            rejected_lengths=torch.tensor([rejected_length]),
        )
    )


@given(
    chosen=logp,
    rejected=logp,
    chosen_length=length,
    rejected_length=length,
    beta=st.floats(0.1, 10),
    gamma=st.floats(0, 5),
)
def test_matches_the_formula(chosen, rejected, chosen_length, rejected_length, beta, gamma):
    output = loss(SimPO(beta=beta, gamma=gamma), chosen, rejected, chosen_length, rejected_length)
    x = beta * (chosen / chosen_length - rejected / rejected_length) - gamma
    expected = max(-x, 0) + math.log1p(math.exp(-abs(x)))
    assert output.losses.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_length_alone_changes_nothing():
    short = loss(SimPO(), -10.0, -20.0, 5, 5).losses
    long = loss(SimPO(), -20.0, -40.0, 10, 10).losses
    assert short.item() == pytest.approx(long.item())


def test_an_empty_completion_is_finite():
    assert torch.isfinite(loss(SimPO(), 0.0, -3.0, 0, 2).losses).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"beta": 0.0}, "beta must be > 0, got 0.0"), ({"gamma": -1.0}, "gamma must be >= 0, got -1.0")],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        SimPO(**options)
