import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.pair.dpop import DPOP

logp = st.floats(-200, 0)
length = st.integers(0, 300)


def softplus(x):
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


@given(c=logp, r=logp, ref_c=logp, ref_r=logp, beta=st.floats(0.01, 2), penalty=st.floats(0, 100))
def test_matches_the_formula(one_pair_loss, c, r, ref_c, ref_r, beta, penalty):
    x = beta * ((c - ref_c) - (r - ref_r) - penalty * max(0, ref_c - c))
    value = one_pair_loss(DPOP(beta=beta, penalty=penalty), c, r, ref_c, ref_r)
    assert value == pytest.approx(softplus(-x), rel=1e-9, abs=1e-9)


def test_a_chosen_completion_one_nat_below_the_reference_pays_the_penalty(one_pair_loss):
    value = one_pair_loss(DPOP(beta=0.1, penalty=50.0), -6, -9, -5, -8)  # margin 0, penalty 50, times beta
    assert value == pytest.approx(5.006715)  # log(1 + exp(5))


def test_above_the_reference_it_is_dpo(one_pair_loss):
    assert one_pair_loss(DPOP(beta=1.0), -4, -8, -5, -8) == pytest.approx(0.313262)  # log(1 + exp(-1))


def test_below_the_reference_the_chosen_one_is_pushed_harder_than_the_rejected_one(one_pair_gradient):
    chosen, rejected = one_pair_gradient(DPOP(beta=0.1, penalty=2.0), -6, -9, -5, -8)
    assert chosen < 0 < rejected
    assert chosen == pytest.approx(-3 * rejected)


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(DPOP())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"beta": -1.0}, r"beta must be > 0, got -1\.0"), ({"penalty": -1.0}, r"penalty must be >= 0, got -1\.0")],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        DPOP(**options)
