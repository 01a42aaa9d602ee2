import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.policy.vespo import VESPO

seeds = st.integers(0, 2**31)
rows = st.lists(st.integers(0, 6), min_size=1, max_size=4)
shape = st.floats(0, 4)


def weight(w, k, c):
    return w**k * math.exp(c * (1 - w))


@given(seed=seeds, lengths=rows, shapes=st.tuples(shape, shape, shape, shape))
def test_matches_the_formula(make_batch, losses_and_weights, seed, lengths, shapes):
    batch = make_batch(seed, lengths)
    expected = []
    for tokens in (batch.tokens(row) for row in range(len(lengths))):
        w = math.prod(token[0] for token in tokens)
        values = [
            -weight(w, *(shapes[:2] if advantage >= 0 else shapes[2:])) * advantage * new
            for _, advantage, new, _ in tokens
        ]
        expected.append(sum(values) / max(len(values), 1))
    names = ("k_positive", "lambda_positive", "k_negative", "lambda_negative")
    losses, weights = losses_and_weights(VESPO(**dict(zip(names, shapes, strict=True))), batch)
    assert losses == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert weights == lengths


def test_on_fresh_samples_the_gradient_is_that_of_reinforce_per_token(one_completion):
    _, gradient = one_completion(VESPO(), [1.0, 1.0], 2.0)
    assert gradient == pytest.approx([-1.0, -1.0])


def test_the_weight_is_greatest_at_k_over_lambda_and_fades_on_both_sides(one_completion):
    sizes = [abs(one_completion(VESPO(), [w], 1.0)[1][0]) for w in (1e-6, 0.3, 2 / 3, 1.5, 30.0)]
    assert sizes[0] < 1e-9 < sizes[1] < sizes[2] > sizes[3] > 1e-9 > sizes[4]


def test_the_weight_has_no_gradient(make_batch):
    batch = make_batch(5, [4])
    output = VESPO()(batch.outputs())
    output.losses.sum().backward()
    expected = -output.metrics["sequence_weight"][0] * batch.advantages[0, 0] / 4
    assert torch.allclose(batch.logps.grad[0, :4], expected.expand(4))


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(VESPO())
    finite_at_extremes(VESPO(lambda_positive=0.0, lambda_negative=0.0))


@pytest.mark.parametrize("name", ["k_positive", "lambda_positive", "k_negative", "lambda_negative"])
def test_rejects_a_negative_shape(name):
    with pytest.raises(ValueError, match=rf"^{name} must be >= 0, got -1\.0$"):
        VESPO(**{name: -1.0})
