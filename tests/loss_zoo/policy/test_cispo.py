import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.policy.cispo import CISPO

seeds = st.integers(0, 2**31)
rows = st.lists(st.integers(0, 6), min_size=1, max_size=4)


def mean(values):
    return sum(values) / max(len(values), 1)


@given(seed=seeds, lengths=rows, high=st.floats(0, 5))
def test_matches_the_formula(make_batch, losses_and_weights, seed, lengths, high):
    batch = make_batch(seed, lengths, spread=2.0)
    expected = [
        mean([-min(ratio, 1 + high) * advantage * new for ratio, advantage, new, _ in batch.tokens(row)])
        for row in range(len(lengths))
    ]
    losses, weights = losses_and_weights(CISPO(epsilon_high=high), batch)
    assert losses == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert weights == lengths


def test_a_clipped_token_keeps_its_gradient(one_completion):
    assert one_completion(CISPO(epsilon_high=1.0), [3.0], 1.5)[1] == pytest.approx([-2 * 1.5])
    assert one_completion(CISPO(epsilon_high=1.0), [1.5], 1.5)[1] == pytest.approx([-1.5 * 1.5])


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(CISPO())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon_high": -0.1}, r"epsilon_high must be >= 0, got -0\.1"),
    ],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        CISPO(**options)
