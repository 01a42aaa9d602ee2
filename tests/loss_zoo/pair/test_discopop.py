import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.pair.discopop import DiscoPOP

logp = st.floats(-300, 0)


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def nll(x):
    """Return -log sigmoid(x)."""
    return max(-x, 0) + math.log1p(math.exp(-abs(x)))


def formula(d_c, d_r, beta, tau):
    x = beta * (d_c - d_r)
    log_m = -nll(x / tau)
    return nll(x) * sigmoid(-x / tau) + math.exp(log_m - x)


@given(
    chosen=logp,
    rejected=logp,
    reference_chosen=logp,
    reference_rejected=logp,
    beta=st.floats(0.05, 1),
    tau=st.floats(0.02, 1),
)
def test_matches_the_formula(one_pair_loss, chosen, rejected, reference_chosen, reference_rejected, beta, tau):
    actual = one_pair_loss(DiscoPOP(beta=beta, tau=tau), chosen, rejected, reference_chosen, reference_rejected)
    expected = formula(chosen - reference_chosen, rejected - reference_rejected, beta, tau)
    assert actual == pytest.approx(expected, rel=1e-8, abs=1e-10)


def test_an_untrained_policy_scores_a_known_value(one_pair_loss):
    assert one_pair_loss(DiscoPOP(), -5.0, -7.0, -5.0, -7.0) == pytest.approx(0.5 * math.log(2) + 0.5)


def test_stays_finite_where_its_factors_do_not(one_pair_loss):
    assert one_pair_loss(DiscoPOP(), -1e5, 0.0) == pytest.approx(1e4)


@pytest.mark.parametrize("tau", [0.0, 1.5])
def test_rejects_a_tau_outside_its_range(tau):
    with pytest.raises(ValueError, match=r"^tau must be "):
        DiscoPOP(tau=tau)


@pytest.mark.parametrize("beta", [0.0, -1.0, math.inf, math.nan])
def test_rejects_a_beta_that_is_not_positive(beta):
    with pytest.raises(ValueError, match=r"^beta must be > 0, got "):
        DiscoPOP(beta=beta)
