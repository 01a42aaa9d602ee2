import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.pair.r_dpo import RDPO

logp = st.floats(-200, 0)
length = st.integers(0, 300)


def softplus(x):
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


@given(c=logp, r=logp, ref_c=logp, ref_r=logp, n_c=length, n_r=length, beta=st.floats(0.01, 2), alpha=st.floats(0, 1))
def test_matches_the_formula(one_pair_loss, c, r, ref_c, ref_r, n_c, n_r, beta, alpha):
    x = beta * ((c - ref_c) - (r - ref_r)) + alpha * (n_c - n_r)
    value = one_pair_loss(RDPO(beta=beta, alpha=alpha), c, r, ref_c, ref_r, lengths=(n_c, n_r))
    assert value == pytest.approx(softplus(-x), rel=1e-9, abs=1e-9)


def test_an_untrained_policy_scores_the_sigmoid_of_the_length_term(one_pair_loss):
    value = one_pair_loss(RDPO(alpha=0.1), -5, -7, -5, -7, lengths=(30, 10))
    assert value == pytest.approx(0.126928)  # log(1 + exp(-0.1 * 20))


def test_a_longer_chosen_completion_is_pushed_less_than_a_shorter_one(one_pair_gradient):
    longer = one_pair_gradient(RDPO(alpha=0.1), -5, -7, -5, -7, lengths=(30, 10))
    shorter = one_pair_gradient(RDPO(alpha=0.1), -5, -7, -5, -7, lengths=(10, 30))
    assert shorter[0] < longer[0] < 0 < longer[1] < shorter[1]


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(RDPO())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"beta": 0.0}, r"beta must be > 0, got 0\.0"), ({"alpha": -0.5}, r"alpha must be >= 0, got -0\.5")],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        RDPO(**options)
