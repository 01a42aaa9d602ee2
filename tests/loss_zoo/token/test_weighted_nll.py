import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_tokens
from swift_loss_zoo.token.weighted_nll import WeightedNLL


def run(logps, weights):
    leaf = torch.tensor(logps, dtype=torch.float64, requires_grad=True)
    output = WeightedNLL()(given_tokens(logps=leaf, weights=torch.tensor(weights, dtype=torch.float64)))
    output.losses.sum().backward()
    return output, leaf.grad


@given(rows=st.lists(st.tuples(st.floats(-1000, 0), st.floats(0, 10)), max_size=8))
def test_matches_the_formula(rows):
    logps, weights = [row[0] for row in rows], [row[1] for row in rows]
    output, gradient = run(logps, weights)
    assert output.losses.tolist() == pytest.approx([-w * logp for logp, w in rows])
    assert gradient.tolist() == pytest.approx([-w for w in weights])


def test_a_token_that_weighs_two_costs_twice():
    assert run([-3.0, -3.0], [1.0, 2.0])[0].losses.tolist() == [3.0, 6.0]


def test_the_mean_is_over_tokens_whatever_they_weigh():
    assert run([-3.0], [2.0])[0].weights is None


def test_the_plain_likelihood_is_logged():
    assert run([-3.0], [2.0])[0].metrics["nll"].tolist() == [3.0]
