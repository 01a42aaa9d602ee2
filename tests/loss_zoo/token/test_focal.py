import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_tokens
from swift_loss_zoo.token.focal import Focal


def run(logps, gamma, dtype=torch.float64, alpha=1.0):
    leaf = torch.tensor(logps, dtype=dtype, requires_grad=True)
    output = Focal(gamma=gamma, alpha=alpha)(given_tokens(logps=leaf, weights=torch.ones(len(logps))))
    output.losses.sum().backward()
    return output.losses, leaf.grad


@given(logps=st.lists(st.floats(-50, -1e-6), min_size=1, max_size=8), gamma=st.floats(0, 5), alpha=st.floats(0.1, 2))
def test_matches_the_formula(logps, gamma, alpha):
    expected = [-alpha * (1 - math.exp(logp)) ** gamma * logp for logp in logps]
    assert run(logps, gamma, alpha=alpha)[0].tolist() == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(logp=st.floats(-20, -1e-3), gamma=st.floats(0, 5))
def test_the_gradient_is_the_derivative_of_the_formula(logp, gamma):
    p = math.exp(logp)
    expected = gamma * p * logp * (1 - p) ** (gamma - 1) - (1 - p) ** gamma
    assert run([logp], gamma)[1].item() == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_a_token_of_probability_one_half_scores_a_quarter_of_log_two():
    assert run([math.log(0.5)], 2.0)[0].item() == pytest.approx(0.25 * math.log(2))


def test_gamma_zero_is_cross_entropy():
    losses, gradient = run([-3.0, -0.5, 0.0], 0.0)
    assert losses.tolist() == [3.0, 0.5, 0.0]
    assert gradient.tolist() == [-1.0, -1.0, -1.0]


def test_the_loss_scale_weighs_the_mean():
    weights = torch.tensor([1.0, 0.5])
    assert Focal()(given_tokens(logps=torch.tensor([-1.0, -2.0]), weights=weights)).weights is weights


@pytest.mark.parametrize("gamma", [0.0, 0.01, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_is_finite_at_extremes(gamma, dtype):
    losses, gradient = run([-1000.0, -1e-3, -1e-8, -1e-30, 0.0], gamma, dtype)
    assert torch.isfinite(torch.cat([losses, gradient])).all()


def test_no_tokens_give_no_losses():
    assert run([], 2.0)[0].shape == (0,)


def test_rejects_a_negative_gamma():
    with pytest.raises(ValueError, match=r"^gamma must be >= 0, got -1\.0$"):
        Focal(gamma=-1.0)


def test_rejects_an_alpha_that_is_not_positive():
    with pytest.raises(ValueError, match=r"^alpha must be > 0, got 0\.0$"):
        Focal(alpha=0.0)
