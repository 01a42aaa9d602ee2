import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.policy.ppo import PPO

seeds = st.integers(0, 2**31)
rows = st.lists(st.integers(0, 6), min_size=1, max_size=4)


def mean(values):
    return sum(values) / max(len(values), 1)


def surrogate(ratio, advantage, low, high):
    return -min(ratio * advantage, min(max(ratio, 1 - low), 1 + high) * advantage)


@given(seed=seeds, lengths=rows, epsilon=st.floats(0, 0.9), bound=st.floats(0.01, 1), weight=st.floats(0, 2))
def test_matches_the_formula(make_batch, losses_and_weights, seed, lengths, epsilon, bound, weight):
    batch = make_batch(seed, lengths)
    expected = []
    for row, length in enumerate(lengths):
        columns = [x[row, :length].tolist() for x in (batch.values, batch.old_values, batch.returns)]
        squares = [
            max((v - goal) ** 2, (old + min(max(v - old, -bound), bound) - goal) ** 2) / 2
            for v, old, goal in zip(*columns, strict=True)
        ]
        clipped = [surrogate(ratio, advantage, epsilon, epsilon) for ratio, advantage, _, _ in batch.tokens(row)]
        expected.append(mean(clipped) + weight * mean(squares))
    losses, weights = losses_and_weights(PPO(epsilon=epsilon, epsilon_value=bound, value_weight=weight), batch)
    assert losses == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert weights == lengths


def test_both_terms_have_a_gradient(make_batch):
    batch = make_batch(3, [4, 2])
    PPO()(batch.outputs()).losses.sum().backward()
    assert batch.logps.grad[batch.mask].abs().sum() > 0
    assert batch.values.grad[batch.mask].abs().sum() > 0


def test_a_clipped_token_has_no_gradient(one_completion):
    assert one_completion(PPO(), [1.5], 1.0) == (pytest.approx(-1.2), [0.0])


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(PPO())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 1.0}, r"epsilon must be in \[0, 1\), got 1\.0"),
        ({"epsilon": -0.1}, r"epsilon must be in \[0, 1\), got -0\.1"),
        ({"epsilon_value": 0.0}, r"epsilon_value must be > 0, got 0\.0"),
        ({"value_weight": -1.0}, r"value_weight must be >= 0, got -1\.0"),
    ],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        PPO(**options)
