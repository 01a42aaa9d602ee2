import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_pairs
from swift_loss_zoo.pair.tpo import TPO

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


def evaluate(loss, *numbers, **named):
    return loss(triple(*numbers, **named)[0]).losses.item()


FORMULAS = {
    "sigmoid": lambda c, r, n, m, beta, e: (1 - e) * softplus(-beta * (c - r)) + e * softplus(beta * (c - r)),
    "hinge": lambda c, r, n, m, beta, _: max(0, 1 - beta * (c - r)),
    "ipo": lambda c, r, n, m, beta, _: (c / max(n, 1) - r / max(m, 1) - 1 / (2 * beta)) ** 2,
}


@pytest.mark.parametrize("preference", list(FORMULAS))
@given(
    sums=st.tuples(logp, logp, logp),
    lengths=st.tuples(length, length, length),
    beta=st.floats(0.01, 2),
    alpha=st.floats(0, 2),
    smoothing=st.floats(0, 0.49),
    normalise=st.booleans(),
)
def test_matches_the_formula(preference, sums, lengths, beta, alpha, smoothing, normalise):
    used = smoothing if preference == "sigmoid" else 0.0
    tpo = TPO(beta=beta, alpha=alpha, preference=preference, label_smoothing=used, normalise=normalise)
    nll = -sums[2] / (max(lengths[2], 1) if normalise else 1)
    expected = FORMULAS[preference](*sums[:2], *lengths[:2], beta, used) + alpha * nll
    assert evaluate(tpo, *sums, lengths=lengths) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_equal_answers_score_log_two_and_the_third_ones_likelihood():
    assert evaluate(TPO(), -6, -6, -8, lengths=(2, 2, 4)) == pytest.approx(math.log(2) + 2)


def test_the_third_answer_is_imitated():
    pairs, leaves = triple(-6.0, -6.0, -8.0, lengths=(2, 2, 4))
    TPO(beta=0.2)(pairs).losses.sum().backward()
    assert [leaf.grad.item() for leaf in leaves] == pytest.approx([-0.1, 0.1, -0.25])


def test_without_alpha_no_third_answer_is_read():
    pairs, _ = triple(-6, -6, -8)
    assert TPO(alpha=0.0)(pairs).losses.item() == pytest.approx(math.log(2))
    assert not [name for name in pairs.computed() if name.startswith("gold")]
    assert TPO(alpha=0.0).needs_columns == ()
    assert TPO().needs_columns == TPO.needs_columns == ("reference",)


@pytest.mark.parametrize("numbers", [(0, -1000, -1000), (-1000, 0, 0), (-1000, -1000, -1000)])
@pytest.mark.parametrize("lengths", [(3, 3, 3), (0, 0, 0)])
@pytest.mark.parametrize("preference", list(FORMULAS))
def test_is_finite_at_extremes(numbers, lengths, preference):
    pairs, leaves = triple(*map(float, numbers), lengths=lengths, dtype=torch.float32)
    losses = TPO(preference=preference)(pairs).losses
    losses.sum().backward()
    assert torch.isfinite(torch.cat([losses, *(leaf.grad for leaf in leaves)])).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 0.0}, r"beta must be > 0, got 0\.0"),
        ({"alpha": -1.0}, r"alpha must be >= 0, got -1\.0"),
        ({"label_smoothing": 0.5}, r"label_smoothing must be in \[0, 0\.5\), got 0\.5"),
        ({"label_smoothing": 0.1, "preference": "hinge"}, r"label_smoothing has no effect with preference: hinge"),
    ],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        TPO(**options)
