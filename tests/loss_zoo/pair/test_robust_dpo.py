import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.pair.robust_dpo import RobustDPO

logp = st.floats(-300, 0)


def nll(x):
    """Return -log sigmoid(x)."""
    return max(-x, 0) + math.log1p(math.exp(-abs(x)))


def formula(d_c, d_r, beta, share):
    z = beta * (d_c - d_r)
    return ((1 - share) * nll(z) - share * nll(-z)) / (1 - 2 * share)


@given(
    chosen=logp,
    rejected=logp,
    reference_chosen=logp,
    reference_rejected=logp,
    beta=st.floats(0.05, 2),
    share=st.floats(0, 0.45),
)
def test_matches_the_formula(one_pair_loss, chosen, rejected, reference_chosen, reference_rejected, beta, share):
    actual = one_pair_loss(
        RobustDPO(beta=beta, label_smoothing=share), chosen, rejected, reference_chosen, reference_rejected
    )
    expected = formula(chosen - reference_chosen, rejected - reference_rejected, beta, share)
    assert actual == pytest.approx(expected, rel=1e-8, abs=1e-10)


def test_an_untrained_policy_scores_a_known_value(one_pair_loss):
    assert one_pair_loss(RobustDPO(), -5.0, -7.0, -5.0, -7.0) == pytest.approx(math.log(2))


def test_is_unbiased_under_flipped_labels(one_pair_loss):
    share, loss = 0.2, RobustDPO(label_smoothing=0.2)
    kept, flipped = one_pair_loss(loss, -5.0, -9.0), one_pair_loss(loss, -9.0, -5.0)
    assert (1 - share) * kept + share * flipped == pytest.approx(nll(0.4))


@pytest.mark.parametrize("share", [-0.1, 0.5])
def test_rejects_a_share_outside_its_range(share):
    with pytest.raises(ValueError, match=r"^label_smoothing must be in \[0, 0\.5\), got "):
        RobustDPO(label_smoothing=share)


@pytest.mark.parametrize("beta", [0.0, -1.0, math.inf, math.nan])
def test_rejects_a_beta_that_is_not_positive(beta):
    with pytest.raises(ValueError, match=r"^beta must be > 0, got "):
        RobustDPO(beta=beta)
