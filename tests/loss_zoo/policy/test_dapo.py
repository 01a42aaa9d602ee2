import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.policy.dapo import DAPO

seeds = st.integers(0, 2**31)
rows = st.lists(st.integers(0, 6), min_size=1, max_size=4)


def mean(values):
    return sum(values) / max(len(values), 1)


def surrogate(ratio, advantage, low, high):
    return -min(ratio * advantage, min(max(ratio, 1 - low), 1 + high) * advantage)


@given(seed=seeds, lengths=rows, low=st.floats(0, 0.9), high=st.floats(0, 2))
def test_matches_the_formula(make_batch, losses_and_weights, seed, lengths, low, high):
    batch = make_batch(seed, lengths)
    tokens = [batch.tokens(row) for row in range(len(lengths))]
    expected = [mean([surrogate(ratio, advantage, low, high) for ratio, advantage, _, _ in row]) for row in tokens]
    losses, weights = losses_and_weights(DAPO(epsilon_low=low, epsilon_high=high), batch)
    assert losses == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert weights == lengths


def test_there_is_more_room_upwards_than_downwards(one_completion):
    assert one_completion(DAPO(), [1.25], 1.0)[1] == pytest.approx([-1.25])
    assert one_completion(DAPO(), [1.3], 1.0) == (pytest.approx(-1.28), [0.0])
    assert one_completion(DAPO(), [0.75], -1.0) == (pytest.approx(0.8), [0.0])


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(DAPO())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon_low": 1.0}, r"epsilon_low must be in \[0, 1\), got 1\.0"),
        ({"epsilon_high": -0.1}, r"epsilon_high must be >= 0, got -0\.1"),
    ],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        DAPO(**options)
