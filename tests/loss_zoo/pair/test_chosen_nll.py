import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.pair.chosen_nll import ChosenNLL

logp = st.floats(-200, 0)
length = st.integers(0, 300)


def softplus(x):
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


@given(c=logp, r=logp, n=length)
def test_is_the_mean_negative_log_likelihood_of_the_chosen_completion(one_pair_loss, c, r, n):
    assert one_pair_loss(ChosenNLL(), c, r, lengths=(n, 7)) == pytest.approx(-c / max(n, 1))


def test_the_rejected_completion_gets_no_gradient(one_pair_gradient):
    assert one_pair_gradient(ChosenNLL(), -8, -3, lengths=(4, 2)) == (-0.25, 0.0)


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(ChosenNLL())
