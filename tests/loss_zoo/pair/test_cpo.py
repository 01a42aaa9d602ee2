import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.pair.cpo import CPO

logp = st.floats(-200, 0)
length = st.integers(0, 300)


def softplus(x):
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


@given(
    c=logp,
    r=logp,
    n=length,
    beta=st.floats(0.01, 2),
    alpha=st.floats(0, 2),
    smoothing=st.floats(0, 0.49),
    normalise=st.booleans(),
)
def test_matches_the_formula(one_pair_loss, c, r, n, beta, alpha, smoothing, normalise):
    x = beta * (c - r)
    likelihood = -c / (max(n, 1) if normalise else 1)
    expected = (1 - smoothing) * softplus(-x) + smoothing * softplus(x) + alpha * likelihood
    cpo = CPO(beta=beta, alpha=alpha, label_smoothing=smoothing, normalise=normalise)
    assert one_pair_loss(cpo, c, r, lengths=(n, 5)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(c=logp, r=logp, n=length, m=length, beta=st.floats(0.01, 2), alpha=st.floats(0, 2))
def test_matches_the_formulas_of_hinge_and_ipo(one_pair_loss, c, r, n, m, beta, alpha):
    hinge = max(0, 1 - beta * (c - r)) - alpha * c
    value = one_pair_loss(CPO(preference="hinge", beta=beta, alpha=alpha), c, r, lengths=(n, m))
    assert value == pytest.approx(hinge, rel=1e-9, abs=1e-9)
    ipo = (c / max(n, 1) - r / max(m, 1) - 1 / (2 * beta)) ** 2 - alpha * c
    value = one_pair_loss(CPO(preference="ipo", beta=beta, alpha=alpha), c, r, lengths=(n, m))
    assert value == pytest.approx(ipo, rel=1e-9, abs=1e-9)


def test_equal_completions_score_log_two_and_their_likelihood(one_pair_loss):
    assert one_pair_loss(CPO(), -6, -6, lengths=(3, 3)) == pytest.approx(math.log(2) + 6)
    assert one_pair_loss(CPO(normalise=True), -6, -6, lengths=(3, 3)) == pytest.approx(math.log(2) + 2)


def test_the_reference_is_not_looked_at(one_pair_loss):
    assert one_pair_loss(CPO(), -6, -8, -3, -4) == one_pair_loss(CPO(), -6, -8)


def test_gradient_raises_the_chosen_and_lowers_the_rejected(one_pair_gradient):
    assert one_pair_gradient(CPO(beta=0.2), -6, -6) == pytest.approx((-0.1 - 1, 0.1))


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(CPO())
    finite_at_extremes(CPO(normalise=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 0.0}, r"beta must be > 0, got 0\.0"),
        ({"alpha": -1.0}, r"alpha must be >= 0, got -1\.0"),
        ({"label_smoothing": 0.5}, r"label_smoothing must be in \[0, 0\.5\), got 0\.5"),
        ({"label_smoothing": 0.1, "preference": "ipo"}, r"label_smoothing has no effect with preference: ipo"),
    ],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        CPO(**options)
