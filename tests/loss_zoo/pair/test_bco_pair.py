import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.pair.bco_pair import BCOPair

logp = st.floats(-300, 0)


def nll(x):
    """Return -log sigmoid(x)."""
    return max(-x, 0) + math.log1p(math.exp(-abs(x)))


def formula(d_c, d_r, beta):
    return nll(beta * d_c) + nll(-beta * d_r)


@given(chosen=logp, rejected=logp, reference_chosen=logp, reference_rejected=logp, beta=st.floats(0.05, 2))
def test_matches_the_formula(one_pair_loss, chosen, rejected, reference_chosen, reference_rejected, beta):
    actual = one_pair_loss(BCOPair(beta=beta), chosen, rejected, reference_chosen, reference_rejected)
    expected = formula(chosen - reference_chosen, rejected - reference_rejected, beta)
    assert actual == pytest.approx(expected, rel=1e-8, abs=1e-10)


def test_an_untrained_policy_scores_a_known_value(one_pair_loss):
    assert one_pair_loss(BCOPair(), -5.0, -7.0, -5.0, -7.0) == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("beta", [0.0, -1.0, math.inf, math.nan])
def test_rejects_a_beta_that_is_not_positive(beta):
    with pytest.raises(ValueError, match=r"^beta must be > 0, got "):
        BCOPair(beta=beta)
