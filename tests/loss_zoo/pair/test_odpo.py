import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.pair.odpo import ODPO

logp = st.floats(-200, 0)
length = st.integers(0, 300)


def softplus(x):
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


@given(c=logp, r=logp, ref_c=logp, ref_r=logp, margin=st.floats(-5, 5), beta=st.floats(0.01, 2), alpha=st.floats(0, 3))
def test_matches_the_formula(one_pair_loss, c, r, ref_c, ref_r, margin, beta, alpha):
    x = beta * ((c - ref_c) - (r - ref_r)) - alpha * margin
    value = one_pair_loss(ODPO(beta=beta, alpha=alpha), c, r, ref_c, ref_r, margin=margin)
    assert value == pytest.approx(softplus(-x), rel=1e-9, abs=1e-9)


def test_a_pair_whose_margin_is_just_met_scores_log_two(one_pair_loss):
    assert one_pair_loss(ODPO(beta=0.5), -5, -9, -5, -5, margin=2.0) == pytest.approx(math.log(2))


def test_a_larger_margin_pushes_harder(one_pair_gradient):
    small = one_pair_gradient(ODPO(), -5, -7, -5, -7, margin=0.0)
    large = one_pair_gradient(ODPO(), -5, -7, -5, -7, margin=3.0)
    assert large[0] < small[0] < 0 < small[1] < large[1]


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(ODPO())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"beta": 0.0}, r"beta must be > 0, got 0\.0"), ({"alpha": -0.5}, r"alpha must be >= 0, got -0\.5")],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        ODPO(**options)
