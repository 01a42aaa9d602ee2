import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.pair.apo_zero import APOZero
from swift_loss_zoo.unpaired.apo_zero_unpaired import APOZeroUnpaired
from swift_loss_zoo.unpaired.kto import KTO

logp = st.floats(-200, 0)
row = st.tuples(st.booleans(), logp, logp, st.just(0.0), st.just(0.0))


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


@given(rows=st.lists(row, min_size=1, max_size=5), beta=st.floats(0.01, 2), weights=st.tuples(*[st.floats(0, 3)] * 2))
def test_matches_the_formula(labelled, rows, beta, weights):
    loss = APOZeroUnpaired(beta=beta, desirable_weight=weights[0], undesirable_weight=weights[1])
    expected = [
        weights[0] * (1 - sigmoid(beta * (pi - ref))) if desirable else weights[1] * sigmoid(beta * (pi - ref))
        for desirable, pi, ref, _, _ in rows
    ]
    actual = loss(labelled(rows)[0]).losses
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64), rtol=1e-8, atol=1e-12)


def test_a_pair_taken_apart_costs_what_apo_zero_costs(labelled, one_pair_loss):
    rows = [(True, -5.0, -7.0, 0.0, 0.0), (False, -6.0, -3.0, 0.0, 0.0)]
    whole = one_pair_loss(APOZero(beta=0.3), -5.0, -6.0, -7.0, -3.0)
    assert APOZeroUnpaired(beta=0.3)(labelled(rows)[0]).losses.sum().item() == pytest.approx(whole)


def test_it_is_kto_without_a_divergence(labelled):
    rows = [(True, -5.0, -7.0, -1.0, -1.0), (False, -6.0, -3.0, -2.0, -2.0)]
    torch.testing.assert_close(APOZeroUnpaired()(labelled(rows)[0]).losses, KTO()(labelled(rows)[0]).losses)


def test_it_reads_no_completion_to_another_prompt(labelled):
    rows, _ = labelled([(True, -5.0, -7.0, -1.0, -1.0)])
    APOZeroUnpaired()(rows)
    assert rows.computed() == {"logps", "reference_logps", "desirable"}


def test_is_finite_at_the_extremes(finite_at_extremes):
    finite_at_extremes(APOZeroUnpaired())


@pytest.mark.parametrize("beta", [0.0, -1.0, math.inf, math.nan])
def test_rejects_a_beta_that_is_not_positive(beta):
    with pytest.raises(ValueError, match=r"^beta must be > 0, got "):
        APOZeroUnpaired(beta=beta)
