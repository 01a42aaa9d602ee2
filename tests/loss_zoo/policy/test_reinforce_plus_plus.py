import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.policy.reinforce_plus_plus import ReinforcePlusPlus

seeds = st.integers(0, 2**31)
rows = st.lists(st.integers(0, 6), min_size=1, max_size=4)


def mean(values):
    return sum(values) / max(len(values), 1)


def surrogate(ratio, advantage, low, high):
    return -min(ratio * advantage, min(max(ratio, 1 - low), 1 + high) * advantage)


@given(seed=seeds, lengths=rows, epsilon=st.floats(0, 0.9))
def test_matches_the_formula(make_batch, losses_and_weights, seed, lengths, epsilon):
    batch = make_batch(seed, lengths)
    tokens = [batch.tokens(row) for row in range(len(lengths))]
    expected = [
        mean([surrogate(ratio, advantage, epsilon, epsilon) for ratio, advantage, _, _ in row]) for row in tokens
    ]
    losses, weights = losses_and_weights(ReinforcePlusPlus(epsilon=epsilon), batch)
    assert losses == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert weights == lengths


def test_at_the_sampling_policy_the_gradient_is_the_advantage_over_the_length(one_completion):
    assert one_completion(ReinforcePlusPlus(), [1.0, 1.0], 3.0) == (pytest.approx(-3.0), pytest.approx([-1.5, -1.5]))


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(ReinforcePlusPlus())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 1.0}, r"epsilon must be in \[0, 1\), got 1\.0"),
        ({"epsilon": -0.1}, r"epsilon must be in \[0, 1\), got -0\.1"),
    ],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        ReinforcePlusPlus(**options)
