import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.pair.ipo import IPO

logp = st.floats(-300, 0)


def formula(d_c, d_r, beta, lengths):
    return (d_c / lengths[0] - d_r / lengths[1] - 1 / (2 * beta)) ** 2


@given(
    chosen=logp,
    rejected=logp,
    reference_chosen=logp,
    reference_rejected=logp,
    beta=st.floats(0.05, 2),
    lengths=st.tuples(st.integers(1, 300), st.integers(1, 300)),
)
def test_matches_the_formula(one_pair_loss, chosen, rejected, reference_chosen, reference_rejected, beta, lengths):
    actual = one_pair_loss(IPO(beta=beta), chosen, rejected, reference_chosen, reference_rejected, lengths)
    expected = formula(chosen - reference_chosen, rejected - reference_rejected, beta, lengths)
    assert actual == pytest.approx(expected, rel=1e-8, abs=1e-10)


def test_an_untrained_policy_scores_a_known_value(one_pair_loss):
    assert one_pair_loss(IPO(), -5.0, -7.0, -5.0, -7.0) == pytest.approx(25.0)


def test_sums_are_an_option(one_pair_loss):
    assert one_pair_loss(IPO(beta=0.5, normalise=False), -4.0, -6.0, lengths=(2, 3)) == pytest.approx((2 - 1) ** 2)


def test_an_empty_completion_counts_as_length_one(one_pair_loss):
    assert one_pair_loss(IPO(beta=0.5), 0.0, -3.0, lengths=(0, 3)) == pytest.approx((0 + 1 - 1) ** 2)


@pytest.mark.parametrize("beta", [0.0, -1.0, math.inf, math.nan])
def test_rejects_a_beta_that_is_not_positive(beta):
    with pytest.raises(ValueError, match=r"^beta must be > 0, got "):
        IPO(beta=beta)
