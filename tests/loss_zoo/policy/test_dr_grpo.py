import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.policy.dr_grpo import DrGRPO

seeds = st.integers(0, 2**31)
rows = st.lists(st.integers(0, 6), min_size=1, max_size=4)


def surrogate(ratio, advantage, low, high):
    return -min(ratio * advantage, min(max(ratio, 1 - low), 1 + high) * advantage)


@given(seed=seeds, lengths=rows, epsilon=st.floats(0, 0.9))
def test_matches_the_formula(make_batch, losses_and_weights, seed, lengths, epsilon):
    batch = make_batch(seed, lengths)
    expected = [
        sum(surrogate(ratio, advantage, epsilon, epsilon) for ratio, advantage, _, _ in batch.tokens(row)) / 8
        for row in range(len(lengths))
    ]
    losses, weights = losses_and_weights(DrGRPO(epsilon_low=epsilon, epsilon_high=epsilon), batch)
    assert losses == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert weights is None


def test_a_token_of_a_long_completion_has_the_gradient_of_one_of_a_short_one(one_completion):
    assert one_completion(DrGRPO(), [1.0], 2.0)[1] == pytest.approx([-0.25])
    assert one_completion(DrGRPO(), [1.0] * 4, 2.0)[1] == pytest.approx([-0.25] * 4)


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(DrGRPO())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon_low": 1.0}, r"epsilon_low must be in \[0, 1\), got 1\.0"),
        ({"epsilon_low": -0.1}, r"epsilon_low must be in \[0, 1\), got -0\.1"),
        ({"epsilon_high": -0.1}, r"epsilon_high must be >= 0, got -0\.1"),
    ],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        DrGRPO(**options)
