import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.policy.grpo import GRPO

seeds = st.integers(0, 2**31)
rows = st.lists(st.integers(0, 6), min_size=1, max_size=4)


def mean(values):
    return sum(values) / max(len(values), 1)


def surrogate(ratio, advantage, low, high):
    return -min(ratio * advantage, min(max(ratio, 1 - low), 1 + high) * advantage)


@given(seed=seeds, lengths=rows, epsilon=st.floats(0, 0.9), beta=st.floats(0, 1))
def test_matches_the_formula(make_batch, losses_and_weights, seed, lengths, epsilon, beta):
    batch = make_batch(seed, lengths)
    expected = [
        mean(
            [
                surrogate(ratio, advantage, epsilon, epsilon) + beta * (math.exp(ref - new) - (ref - new) - 1)
                for ratio, advantage, new, ref in batch.tokens(row)
            ]
        )
        for row in range(len(lengths))
    ]
    losses, weights = losses_and_weights(GRPO(epsilon_low=epsilon, epsilon_high=epsilon, beta=beta), batch)
    assert losses == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert weights is None


def test_clips_a_good_token_that_became_likelier_and_not_a_bad_one(one_completion):
    loss, gradient = one_completion(GRPO(beta=0.0), [1.5, 1.1], 2.0)
    assert loss == pytest.approx(-(1.2 + 1.1))
    assert gradient == pytest.approx([0.0, -1.1])
    loss, gradient = one_completion(GRPO(beta=0.0), [1.5, 1.1], -2.0)
    assert loss == pytest.approx(1.5 + 1.1)
    assert gradient == pytest.approx([1.5, 1.1])


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(GRPO())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon_low": 1.0}, r"epsilon_low must be in \[0, 1\), got 1\.0"),
        ({"epsilon_low": -0.1}, r"epsilon_low must be in \[0, 1\), got -0\.1"),
        ({"epsilon_high": -0.1}, r"epsilon_high must be >= 0, got -0\.1"),
        ({"delta": 1.2}, r"delta must be > 1 \+ epsilon_high = 1\.2, got 1\.2"),
        ({"beta": 0.0, "unbiased_kl": True}, r"unbiased_kl has no effect with beta: 0\.0"),
        ({"beta": -1.0}, r"beta must be >= 0, got -1\.0"),
    ],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        GRPO(**options)
