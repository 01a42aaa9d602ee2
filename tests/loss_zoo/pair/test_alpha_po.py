import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.pair.alpha_po import AlphaPO

logp = st.floats(-200, 0)
length = st.integers(0, 300)


def softplus(x):
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


@given(
    mean_c=st.floats(-20, 0),
    mean_r=st.floats(-20, 0),
    n_c=st.integers(1, 50),
    n_r=st.integers(1, 50),
    alpha=st.floats(-2, 2).filter(lambda value: abs(value) > 1e-3),
    beta=st.floats(0.1, 10),
    gamma=st.floats(0, 5),
)
def test_matches_the_formula(one_pair_loss, mean_c, mean_r, n_c, n_r, alpha, beta, gamma):
    rewards = [(1 - math.exp(mean) ** -alpha) / alpha for mean in (mean_c, mean_r)]
    x = beta * (rewards[0] - rewards[1]) - gamma
    value = one_pair_loss(AlphaPO(alpha=alpha, beta=beta, gamma=gamma), mean_c * n_c, mean_r * n_r, lengths=(n_c, n_r))
    assert value == pytest.approx(softplus(-x), rel=1e-6, abs=1e-6)


def test_alpha_zero_is_simpo(one_pair_loss):
    value = one_pair_loss(AlphaPO(alpha=0.0, beta=2.0, gamma=1.0), -10, -30, lengths=(10, 15))
    assert value == pytest.approx(0.313262)  # 2 * (-1 + 2) - 1 = 1; log(1 + exp(-1))


def test_a_small_alpha_is_nearly_simpo(one_pair_loss):
    nearly, simpo = (one_pair_loss(AlphaPO(alpha=alpha), -10, -30, lengths=(10, 15)) for alpha in (1e-9, 0.0))
    assert nearly == pytest.approx(simpo, rel=1e-7)


def test_a_larger_alpha_lowers_the_unlikely_harder(one_pair_gradient):
    bent, straight = (
        one_pair_gradient(AlphaPO(alpha=alpha, gamma=0.0), -2, -2, lengths=(1, 1)) for alpha in (0.5, 0.0)
    )
    assert bent[1] == pytest.approx(straight[1] * math.exp(0.5 * 2))


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.25, 1.0, 2.0])
def test_is_finite_at_extremes(finite_at_extremes, alpha):
    finite_at_extremes(AlphaPO(alpha=alpha))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 0.0}, r"beta must be > 0, got 0\.0"),
        ({"gamma": -1.0}, r"gamma must be >= 0, got -1\.0"),
        ({"alpha": math.inf}, "alpha must be a finite number, got inf"),
    ],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        AlphaPO(**options)
