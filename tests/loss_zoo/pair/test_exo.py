import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.pair.exo import EXO

logp = st.floats(-300, 0)


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def nll(x):
    """Return -log sigmoid(x)."""
    return max(-x, 0) + math.log1p(math.exp(-abs(x)))


def formula(d_c, d_r, beta, share):
    s = sigmoid(beta * (d_c - d_r))
    kept = -nll(beta * (d_c - d_r)) - math.log(1 - share)
    flipped = -nll(-beta * (d_c - d_r)) - math.log(share)
    return s * kept + (1 - s) * flipped


@given(
    chosen=logp,
    rejected=logp,
    reference_chosen=logp,
    reference_rejected=logp,
    beta=st.floats(0.05, 2),
    share=st.floats(1e-4, 0.4),
)
def test_matches_the_formula(one_pair_loss, chosen, rejected, reference_chosen, reference_rejected, beta, share):
    actual = one_pair_loss(
        EXO(beta=beta, label_smoothing=share), chosen, rejected, reference_chosen, reference_rejected
    )
    expected = formula(chosen - reference_chosen, rejected - reference_rejected, beta, share)
    assert actual == pytest.approx(expected, rel=1e-8, abs=1e-10)


def test_an_untrained_policy_scores_a_known_value(one_pair_loss):
    assert one_pair_loss(EXO(), -5.0, -7.0, -5.0, -7.0) == pytest.approx(
        0.5 * (math.log(0.5 / 0.999) + math.log(0.5 / 0.001))
    )


def test_is_zero_where_the_policy_prefers_as_the_labels_do(one_pair_loss):
    margin = math.log(0.999 / 0.001)
    assert one_pair_loss(EXO(beta=1.0), margin, 0.0) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("share", [0.0, -0.1, 0.5])
def test_rejects_a_share_outside_its_range(share):
    with pytest.raises(ValueError, match=r"^label_smoothing must be "):
        EXO(label_smoothing=share)


@pytest.mark.parametrize("beta", [0.0, -1.0, math.inf, math.nan])
def test_rejects_a_beta_that_is_not_positive(beta):
    with pytest.raises(ValueError, match=r"^beta must be > 0, got "):
        EXO(beta=beta)
