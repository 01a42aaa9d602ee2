import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.pair.sigmoid_norm import SigmoidNorm

logp = st.floats(-200, 0)
length = st.integers(0, 300)


def softplus(x):
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


@given(c=logp, r=logp, ref_c=logp, ref_r=logp, n_c=length, n_r=length, beta=st.floats(0.01, 10))
def test_matches_the_formula(one_pair_loss, c, r, ref_c, ref_r, n_c, n_r, beta):
    x = beta * ((c - ref_c) / max(n_c, 1) - (r - ref_r) / max(n_r, 1))
    value = one_pair_loss(SigmoidNorm(beta=beta), c, r, ref_c, ref_r, lengths=(n_c, n_r))
    assert value == pytest.approx(softplus(-x), rel=1e-9, abs=1e-9)


def test_a_margin_of_one_nat_per_token_scores_the_sigmoid_of_beta(one_pair_loss):
    value = one_pair_loss(SigmoidNorm(beta=2.0), -10, -40, -20, -40, lengths=(10, 20))
    assert value == pytest.approx(0.126928)  # log(1 + exp(-2))


def test_the_gradient_is_shared_among_the_tokens(one_pair_gradient):
    chosen, rejected = one_pair_gradient(SigmoidNorm(beta=2.0), -5, -5, -5, -5, lengths=(4, 10))
    assert (chosen, rejected) == pytest.approx((-2 * 0.5 / 4, 2 * 0.5 / 10))


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(SigmoidNorm())


def test_rejects_a_beta_that_is_not_positive():
    with pytest.raises(ValueError, match=r"^beta must be > 0, got 0\.0$"):
        SigmoidNorm(beta=0.0)
