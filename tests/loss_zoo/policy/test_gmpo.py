import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.policy.gmpo import GMPO

seeds = st.integers(0, 2**31)
rows = st.lists(st.integers(0, 6), min_size=1, max_size=4)


def mean(values):
    return sum(values) / max(len(values), 1)


@given(seed=seeds, lengths=rows, low=st.floats(0.01, 2), high=st.floats(0.01, 2))
def test_matches_the_formula(make_batch, losses_and_weights, seed, lengths, low, high):
    batch = make_batch(seed, lengths)
    expected = []
    for tokens in (batch.tokens(row) for row in range(len(lengths))):
        advantage = tokens[0][1] if tokens else 0.0
        changes = [math.log(ratio) for ratio, _, _, _ in tokens]
        kept = [min(x, high) if advantage > 0 else max(x, -low) for x in changes]
        expected.append(-math.exp(mean(kept)) * advantage)
    losses, weights = losses_and_weights(GMPO(epsilon_low=low, epsilon_high=high), batch)
    assert losses == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert weights is None


def test_only_the_clipped_token_loses_its_gradient(one_completion):
    loss, gradient = one_completion(GMPO(epsilon_high=0.4), [math.exp(1.0), 1.0], 1.0)
    assert loss == pytest.approx(-math.exp(0.2))
    assert gradient == pytest.approx([0.0, -math.exp(0.2) / 2])


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(GMPO())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon_low": 0.0}, r"epsilon_low must be > 0, got 0\.0"),
        ({"epsilon_high": -1.0}, r"epsilon_high must be > 0, got -1\.0"),
    ],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        GMPO(**options)
