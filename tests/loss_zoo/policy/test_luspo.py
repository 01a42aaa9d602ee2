import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.policy.luspo import LUSPO

seeds = st.integers(0, 2**31)
rows = st.lists(st.integers(0, 6), min_size=1, max_size=4)


def mean(values):
    return sum(values) / max(len(values), 1)


def surrogate(ratio, advantage, low, high):
    return -min(ratio * advantage, min(max(ratio, 1 - low), 1 + high) * advantage)


@given(seed=seeds, lengths=rows, low=st.floats(0, 0.5), high=st.floats(0, 0.5))
def test_matches_the_formula(make_batch, losses_and_weights, seed, lengths, low, high):
    batch = make_batch(seed, lengths)
    expected = []
    for tokens in (batch.tokens(row) for row in range(len(lengths))):
        ratio = math.exp(mean([math.log(ratio) for ratio, _, _, _ in tokens]))
        advantage = tokens[0][1] if tokens else 0.0
        expected.append(len(tokens) * surrogate(ratio, advantage, low, high))
    losses, weights = losses_and_weights(LUSPO(epsilon_low=low, epsilon_high=high), batch)
    assert losses == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert weights is None


def test_every_token_has_the_gradient_of_its_advantage_whatever_the_length(one_completion):
    assert one_completion(LUSPO(), [1.0], 3.0)[1] == pytest.approx([-3.0])
    assert one_completion(LUSPO(), [1.0] * 4, 3.0)[1] == pytest.approx([-3.0] * 4)


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(LUSPO())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon_low": 1.0}, r"epsilon_low must be in \[0, 1\), got 1\.0"),
        ({"epsilon_high": -0.1}, r"epsilon_high must be >= 0, got -0\.1"),
    ],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        LUSPO(**options)
