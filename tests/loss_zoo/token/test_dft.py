import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_tokens
from swift_loss_zoo.token.dft import DFT


def run(logps, weights=None, dtype=torch.float64):
    leaf = torch.tensor(logps, dtype=dtype, requires_grad=True)
    output = DFT()(given_tokens(logps=leaf, weights=torch.tensor(weights or [1.0] * len(logps))))
    output.losses.sum().backward()
    return output, leaf.grad


@given(logps=st.lists(st.floats(-50, 0), min_size=1, max_size=8))
def test_matches_the_formula(logps):
    output, _ = run(logps)
    assert output.losses.tolist() == pytest.approx([-math.exp(logp) * logp for logp in logps])


@given(logp=st.floats(-50, 0))
def test_the_gradient_is_that_of_the_log_probability_times_the_probability(logp):
    assert run([logp])[1].item() == pytest.approx(-math.exp(logp))


def test_a_token_of_probability_one_half_scores_half_of_log_two():
    assert run([math.log(0.5)])[0].losses.item() == pytest.approx(0.5 * math.log(2))


def test_the_loss_scale_weighs_the_mean():
    assert run([-1.0, -2.0], [1.0, 0.5])[0].weights.tolist() == [1.0, 0.5]


def test_it_says_that_its_gradient_is_not_that_of_its_value():
    assert DFT.stops_gradient


def test_is_finite_at_extremes_and_without_tokens():
    output, gradient = run([-1000.0, 0.0], dtype=torch.float32)
    assert torch.isfinite(torch.cat([output.losses, gradient])).all()
    assert run([])[0].losses.shape == (0,)
