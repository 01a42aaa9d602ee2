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


@given(seed=seeds, lengths=rows, epsilon=st.floats(0, 0.9))
def test_matches_the_formula_with_a_ratio(make_batch, losses_and_weights, seed, lengths, epsilon):
    batch = make_batch(seed, lengths)
    expected = []
    for tokens in (batch.tokens(row) for row in range(len(lengths))):
        advantage = tokens[0][1] if tokens else 0.0
        ratio = math.prod(token[0] for token in tokens)
        expected.append(-min(ratio * advantage, min(max(ratio, 1 - epsilon), 1 + epsilon) * advantage))
    losses, _ = losses_and_weights(RLOO(epsilon=epsilon), batch)
    assert losses == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_on_fresh_samples_the_ratio_has_the_gradient_of_plain_reinforce(one_completion):
    assert one_completion(RLOO(epsilon=0.2), [1.0, 1.0], 2.0)[1] == one_completion(RLOO(), [1.0, 1.0], 2.0)[1]


def test_rejects_an_epsilon_outside_its_range():
    with pytest.raises(ValueError, match=r"^epsilon must be in \[0, 1\), got 1\.0$"):
        RLOO(epsilon=1.0)


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(RLOO())
    finite_at_extremes(RLOO(epsilon=0.2))
