import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.policy.sapo import SAPO

seeds = st.integers(0, 2**31)
rows = st.lists(st.integers(0, 6), min_size=1, max_size=4)


def mean(values):
    return sum(values) / max(len(values), 1)


@given(seed=seeds, lengths=rows, positive=st.floats(0.1, 5), negative=st.floats(0.1, 5))
def test_matches_the_formula(make_batch, losses_and_weights, seed, lengths, positive, negative):
    batch = make_batch(seed, lengths)

    def gate(ratio, advantage):
        tau = positive if advantage > 0 else negative
        return 4 / tau / (1 + math.exp(-tau * (ratio - 1)))

    expected = [
        mean([-gate(ratio, advantage) * advantage for ratio, advantage, _, _ in batch.tokens(row)])
        for row in range(len(lengths))
    ]
    losses, weights = losses_and_weights(SAPO(tau_positive=positive, tau_negative=negative), batch)
    assert losses == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert weights is None


def test_at_the_sampling_policy_the_gradient_is_that_of_reinforce(one_completion):
    assert one_completion(SAPO(), [1.0], 2.0) == (pytest.approx(-4.0), pytest.approx([-2.0]))


def test_gradients_fade_and_do_not_stop(one_completion):
    near, far = (abs(one_completion(SAPO(), [ratio], 1.0)[1][0]) / ratio for ratio in (1.5, 4.0))
    assert 0 < far < near < 1


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(SAPO())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau_positive": 0.0}, r"tau_positive must be > 0, got 0\.0"),
        ({"tau_negative": -1.0}, r"tau_negative must be > 0, got -1\.0"),
    ],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        SAPO(**options)
