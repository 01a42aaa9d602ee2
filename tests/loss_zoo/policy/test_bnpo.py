import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.policy.bnpo import BNPO

seeds = st.integers(0, 2**31)
rows = st.lists(st.integers(0, 6), min_size=1, max_size=4)


def token_loss(token, low, high, delta, beta, *, by_ratio):
    """Return the loss of one token, with every option."""
    ratio, advantage, new, ref = token
    held = min(ratio, delta)
    surrogate = -min(held * advantage, min(max(ratio, 1 - low), 1 + high) * advantage)
    divergence = math.exp(ref - new) - (ref - new) - 1
    return surrogate + beta * divergence * (ratio if by_ratio else 1)


@given(
    seed=seeds,
    lengths=rows,
    low=st.floats(0, 0.9),
    high=st.floats(0, 1),
    room=st.floats(0.01, 1),
    beta=st.floats(0.01, 1),
    by_ratio=st.booleans(),
)
def test_matches_the_formula(make_batch, losses_and_weights, seed, lengths, low, high, room, beta, by_ratio):
    batch = make_batch(seed, lengths)
    delta = 1 + high + room
    tokens = [batch.tokens(row) for row in range(len(lengths))]
    values = [[token_loss(token, low, high, delta, beta, by_ratio=by_ratio) for token in row] for row in tokens]
    loss = BNPO(epsilon_low=low, epsilon_high=high, delta=delta, beta=beta, unbiased_kl=by_ratio)
    losses, weights = losses_and_weights(loss, batch)
    assert losses == pytest.approx([sum(row) / max(len(row), 1) for row in values], rel=1e-9, abs=1e-9)
    assert weights == lengths


def test_the_mean_is_over_tokens_and_not_over_completions(make_batch):
    batch = make_batch(3, [1, 5])
    output = BNPO()(batch.outputs())
    mean = (output.losses * output.weights).sum() / output.weights.sum()
    values = [
        token_loss(token, 0.2, 0.2, math.inf, 0.0, by_ratio=False) for row in (0, 1) for token in batch.tokens(row)
    ]
    assert mean.item() == pytest.approx(sum(values) / 6)


def test_delta_holds_a_bad_token_that_ran_away(one_completion):
    assert one_completion(BNPO(), [5.0], -1.0) == (pytest.approx(5.0), [pytest.approx(5.0)])
    assert one_completion(BNPO(delta=4.0), [5.0], -1.0) == (pytest.approx(4.0), [0.0])


def test_a_reference_is_needed_only_with_a_weight():
    assert BNPO().needs_reference is False
    assert BNPO(beta=0.1).needs_reference is True


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(BNPO())
    finite_at_extremes(BNPO(beta=0.1, unbiased_kl=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon_low": 1.0}, r"epsilon_low must be in \[0, 1\), got 1\.0"),
        ({"delta": 0.5}, r"delta must be > 1 \+ epsilon_high = 1\.2, got 0\.5"),
        ({"unbiased_kl": True}, r"unbiased_kl has no effect with beta: 0\.0"),
    ],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        BNPO(**options)
