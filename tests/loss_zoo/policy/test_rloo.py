import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.policy.rloo import RLOO

seeds = st.integers(0, 2**31)
rows = st.lists(st.integers(0, 6), min_size=1, max_size=4)


@given(seed=seeds, lengths=rows)
def test_matches_the_formula(make_batch, losses_and_weights, seed, lengths):
    batch = make_batch(seed, lengths)
    expected = [sum(-advantage * new for _, advantage, new, _ in batch.tokens(row)) for row in range(len(lengths))]
    losses, weights = losses_and_weights(RLOO(), batch)
    assert losses == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert weights is None


def test_the_gradient_of_each_token_is_its_advantage(one_completion):
    assert one_completion(RLOO(), [0.5, 0.5], 2.0) == (pytest.approx(4 * math.log(2)), pytest.approx([-2.0, -2.0]))


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(RLOO())
