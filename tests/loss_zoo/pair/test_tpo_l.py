import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_pairs
from swift_loss_zoo.pair.simpo import SimPO
from swift_loss_zoo.pair.tpo_l import TPOL

logp = st.floats(-200, 0)
length = st.integers(0, 300)


def softplus(x):
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


def triple(chosen, rejected, gold, lengths=(1, 1, 1), dtype=torch.float64):
    """Return the outputs of one pair with a third completion, and its three log-probabilities as leaves."""
    leaves = [torch.tensor([x], dtype=dtype, requires_grad=True) for x in (chosen, rejected, gold)]
    names = ("chosen", "rejected", "gold")
    values = {f"{name}_logps": leaf for name, leaf in zip(names, leaves, strict=True)}
    counts = {f"{name}_lengths": torch.tensor([count]) for name, count in zip(names, lengths, strict=True)}
    return given_pairs(**values, **counts), leaves


@given(
    sums=st.tuples(logp, logp, logp),
    lengths=st.tuples(length, length, length),
    beta=st.floats(0.01, 5),
    gamma=st.floats(0, 3),
    alpha=st.floats(0, 2),
    smoothing=st.floats(0, 0.49),
    normalise=st.booleans(),
)
def test_matches_the_formula(sums, lengths, beta, gamma, alpha, smoothing, normalise):
    n, m, k = (max(count, 1) for count in lengths)
    x = beta * (sums[0] / n - sums[1] / m) - gamma
    nll = -sums[2] / (k if normalise else 1)
    expected = (1 - smoothing) * softplus(-x) + smoothing * softplus(x) + alpha * nll
    loss = TPOL(beta=beta, gamma=gamma, alpha=alpha, label_smoothing=smoothing, normalise=normalise)
    value = loss(triple(*sums, lengths=lengths)[0]).losses.item()
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_without_alpha_it_is_simpo():
    pairs, _ = triple(-6, -9, -8, lengths=(2, 4, 3))
    assert torch.equal(TPOL(alpha=0.0, gamma=1.0)(pairs).losses, SimPO(gamma=1.0)(pairs).losses)
    assert TPOL(alpha=0.0).needs_columns == ()


def test_gradient_raises_the_chosen_and_the_third_and_lowers_the_rejected():
    pairs, leaves = triple(-6.0, -6.0, -8.0, lengths=(2, 2, 4))
    TPOL(beta=2.0, gamma=0.0)(pairs).losses.sum().backward()
    assert [leaf.grad.item() for leaf in leaves] == pytest.approx([-0.5, 0.5, -0.25])


@pytest.mark.parametrize("numbers", [(0, -1000, -1000), (-1000, 0, 0)])
@pytest.mark.parametrize("lengths", [(3, 3, 3), (0, 0, 0)])
def test_is_finite_at_extremes(numbers, lengths):
    pairs, leaves = triple(*map(float, numbers), lengths=lengths, dtype=torch.float32)
    losses = TPOL()(pairs).losses
    losses.sum().backward()
    assert torch.isfinite(torch.cat([losses, *(leaf.grad for leaf in leaves)])).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 0.0}, r"beta must be > 0, got 0\.0"),
        ({"gamma": -1.0}, r"gamma must be >= 0, got -1\.0"),
        ({"alpha": -1.0}, r"alpha must be >= 0, got -1\.0"),
        ({"label_smoothing": 0.5}, r"label_smoothing must be in \[0, 0\.5\), got 0\.5"),
    ],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        TPOL(**options)
