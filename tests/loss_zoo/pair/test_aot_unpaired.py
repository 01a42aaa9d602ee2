import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_pairs
from swift_loss_zoo.pair.aot_unpaired import AOTUnpaired

NAMES = ("chosen_logps", "rejected_logps", "reference_chosen_logps", "reference_rejected_logps")
pairs_of_numbers = st.lists(st.tuples(*[st.floats(-200, 0)] * 4), min_size=1, max_size=6)


def losses(loss, rows):
    columns = torch.tensor(rows, dtype=torch.float64).T
    return loss(given_pairs(**dict(zip(NAMES, columns, strict=True)))).losses


def softplus(x):
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


def gaps(rows):
    """Return the paper's differences of order statistics."""
    upper = sorted(c - ref_c for c, r, ref_c, ref_r in rows)
    lower = sorted(r - ref_r for c, r, ref_c, ref_r in rows)
    return [high - low for high, low in zip(upper, lower, strict=True)]


@given(rows=pairs_of_numbers, beta=st.floats(0.01, 2), smoothing=st.floats(0, 0.49))
def test_matches_the_formula(rows, beta, smoothing):
    expected = [(1 - smoothing) * softplus(-beta * gap) + smoothing * softplus(beta * gap) for gap in gaps(rows)]
    value = losses(AOTUnpaired(beta=beta, label_smoothing=smoothing), rows)
    assert value.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_one_pair_alone_is_dpo():
    assert losses(AOTUnpaired(beta=1.0), [(-4, -8, -5, -8)]).tolist() == pytest.approx([0.313262])  # log(1 + exp(-1))


def test_pairs_are_compared_by_rank():
    rows = [(-1, -3, -3, -8), (-1, -6, -6, -8)]  # rewards of chosen 2 and 5, of rejected 5 and 2
    assert losses(AOTUnpaired(beta=1.0), rows).tolist() == pytest.approx([math.log(2), math.log(2)])


@given(rows=pairs_of_numbers, seed=st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_changes_nothing(rows, seed):
    shuffled = list(rows)
    seed.shuffle(shuffled)
    assert losses(AOTUnpaired(), shuffled).tolist() == pytest.approx(losses(AOTUnpaired(), rows).tolist())


def test_gradient_raises_the_chosen_and_lowers_the_rejected():
    chosen, rejected = (torch.tensor(values, requires_grad=True) for values in ([-5.0, -6.0], [-4.0, -7.0]))
    values = (chosen, rejected, torch.tensor([-5.0, -5.0]), torch.tensor([-4.5, -6.5]))
    AOTUnpaired()(given_pairs(**dict(zip(NAMES, values, strict=True)))).losses.sum().backward()
    assert (chosen.grad < 0).all()
    assert (rejected.grad > 0).all()


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(AOTUnpaired())


def test_it_says_that_items_depend_on_each_other():
    assert AOTUnpaired.couples_items


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 0.0}, r"beta must be > 0, got 0\.0"),
        ({"label_smoothing": 0.5}, r"label_smoothing must be in \[0, 0\.5\), got 0\.5"),
    ],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        AOTUnpaired(**options)
