import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_pairs
from swift_loss_zoo.pair.ld_dpo import LDDPO

tokens = st.lists(st.tuples(st.floats(-20, 0), st.floats(-20, 0)), max_size=6)
"""(policy, reference) log-probabilities of the tokens of one completion."""


def loss(ld_dpo, chosen, rejected):
    time = max(len(chosen), len(rejected))
    values = {}
    for name, rows in (("chosen", chosen), ("rejected", rejected)):
        padded = torch.zeros(2, 1, time, dtype=torch.float64)
        for place, row in enumerate(rows):
            padded[:, 0, place] = torch.tensor(row, dtype=torch.float64)
        values[f"{name}_token_logps"], values[f"reference_{name}_token_logps"] = padded
        values[f"{name}_lengths"] = torch.tensor([len(rows)])
    return ld_dpo(given_pairs(**values)).losses.item()


def softplus(x):
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


@given(chosen=tokens, rejected=tokens, beta=st.floats(0.01, 2), ld_alpha=st.floats(0, 1))
def test_matches_the_formula(chosen, rejected, beta, ld_alpha):
    shared = min(len(chosen), len(rejected))
    sums = [
        sum(
            (policy - reference) * (1 if place < shared else ld_alpha) for place, (policy, reference) in enumerate(rows)
        )
        for rows in (chosen, rejected)
    ]
    value = loss(LDDPO(beta=beta, ld_alpha=ld_alpha), chosen, rejected)
    assert value == pytest.approx(softplus(-beta * (sums[0] - sums[1])), rel=1e-9, abs=1e-9)


def test_the_tail_of_the_longer_completion_counts_by_its_weight():
    chosen, rejected = [(-1.0, -2.0), (-1.0, -3.0)], [(-1.0, -1.0)]
    assert loss(LDDPO(beta=1.0, ld_alpha=0.5), chosen, rejected) == pytest.approx(math.log1p(math.exp(-2)))
    assert loss(LDDPO(beta=1.0, ld_alpha=0.0), chosen, rejected) == pytest.approx(0.313262)  # log(1 + exp(-1))


def test_weight_one_is_dpo():
    chosen, rejected = [(-1.0, -2.0), (-1.0, -3.0)], [(-1.0, -1.0)]
    assert loss(LDDPO(beta=1.0, ld_alpha=1.0), chosen, rejected) == pytest.approx(math.log1p(math.exp(-3)))


def test_gradient_of_a_tail_token_is_scaled():
    chosen = torch.tensor([[-1.0, -1.0]], requires_grad=True)
    pairs = given_pairs(
        chosen_token_logps=chosen,
        rejected_token_logps=torch.tensor([[-1.0, 0.0]]),
        reference_chosen_token_logps=torch.tensor([[-1.0, -1.0]]),
        reference_rejected_token_logps=torch.tensor([[-1.0, 0.0]]),
        chosen_lengths=torch.tensor([2]),
        rejected_lengths=torch.tensor([1]),
    )
    LDDPO(beta=0.2, ld_alpha=0.25)(pairs).losses.sum().backward()
    assert chosen.grad.tolist()[0] == pytest.approx([-0.1, -0.025])


@pytest.mark.parametrize("chosen", [[(-1000.0, 0.0)], [(0.0, -1000.0)], []])
def test_is_finite_at_extremes(chosen):
    assert math.isfinite(loss(LDDPO(), chosen, [(0.0, -1000.0)]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 0.0}, r"beta must be > 0, got 0\.0"),
        ({"ld_alpha": -0.1}, r"ld_alpha must be >= 0, got -0\.1"),
        ({"ld_alpha": 1.5}, r"ld_alpha must be <= 1, got 1\.5"),
    ],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        LDDPO(**options)
