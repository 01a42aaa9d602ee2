import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.unpaired.bco import BCO

logp = st.floats(-100, 0)
row = st.tuples(st.booleans(), logp, logp, st.just(0.0), st.just(0.0))
steps = st.lists(st.lists(row, min_size=1, max_size=4), min_size=1, max_size=4)


def nll(x):
    """Return -log sigmoid(x)."""
    return max(-x, 0) + math.log1p(math.exp(-abs(x)))


def seen(loss, rows):
    """Let `loss` take in a step as core does: by the means over its rows."""
    means = {name: value.double().mean() for name, value in loss.statistics(rows).items()}
    loss.update(means, torch.tensor(len(rows.desirable)))


def mean(values):
    return sum(values) / len(values)


@given(history=steps, beta=st.floats(0.01, 2), balanced=st.booleans())
def test_matches_the_formula_step_by_step(labelled, history, beta, balanced):
    loss, rewards = BCO(beta=beta, balanced=balanced), {True: [], False: []}
    for rows in history:
        seen(loss, labelled(rows)[0])
        for desirable, pi, ref, _, _ in rows:
            rewards[desirable].append(beta * (pi - ref))
        by_label = [mean(values) for values in rewards.values() if values]
        delta = mean(by_label) if balanced else mean(rewards[True] + rewards[False])
        expected = [nll((1 if desirable else -1) * (beta * (pi - ref) - delta)) for desirable, pi, ref, _, _ in rows]
        actual = loss(labelled(rows)[0]).losses
        torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64), rtol=1e-7, atol=1e-9)


def test_the_numbers_of_trl(labelled):
    # trl 0.28.0, experimental/bco/bco_trainer.py, BCOTrainer.bco_loss with beta 0.2, two steps one after the other;
    # its running mean is float32
    loss = BCO(beta=0.2)
    for rows, expected in zip(STEPS, PEER, strict=True):
        seen(loss, labelled(rows)[0])
        assert loss(labelled(rows)[0]).losses.tolist() == pytest.approx(expected, rel=1e-6)


STEPS = [
    [(True, -10.0, -12.0, 0.0, 0.0), (True, -9.0, -8.5, 0.0, 0.0), (False, -40.0, -38.0, 0.0, 0.0)],
    [(True, -3.0, -6.0, 0.0, 0.0), (False, -7.0, -5.0, 0.0, 0.0)],
]
PEER = [[0.499771354, 0.727035966, 0.526526097], [0.444620669, 0.505036994]]


def test_before_the_first_step_delta_is_zero(labelled):
    output = BCO(beta=1.0)(labelled([(True, -5.0, -6.0, 0.0, 0.0)])[0])
    assert output.losses.item() == pytest.approx(nll(1.0))
    assert output.metrics["delta"].tolist() == [0.0]


def test_balanced_delta_does_not_follow_the_more_frequent_label(labelled):
    rows = labelled([(True, -1.0, -2.0, 0.0, 0.0)] * 9 + [(False, -2.0, -1.0, 0.0, 0.0)])[0]
    deltas = []
    for balanced in (False, True):
        loss = BCO(beta=1.0, balanced=balanced)
        seen(loss, rows)
        deltas.append(loss.delta.item())
    assert deltas == pytest.approx([0.8, 0.0])


def test_judging_rows_leaves_delta_as_it_is(labelled):
    loss = BCO()
    seen(loss, labelled([(True, -1.0, -2.0, 0.0, 0.0)])[0])
    before = loss.delta.item()
    loss(labelled([(False, -50.0, -1.0, 0.0, 0.0)])[0])
    assert loss.delta.item() == before


def test_its_state_comes_back_bit_for_bit(labelled):
    first, second = BCO(beta=0.3), BCO(beta=0.3)
    rows = [(True, -1.1, -2.3, 0.0, 0.0), (False, -7.7, -3.9, 0.0, 0.0), (True, -0.3, -9.1, 0.0, 0.0)]
    seen(first, labelled(rows)[0])
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.delta, second.delta)
    seen(first, labelled(rows[:1])[0])  # what was loaded is its own
    assert not torch.equal(first.delta, second.delta)


def test_delta_has_no_gradient(labelled):
    rows, leaf = labelled([(True, -5.0, -6.0, 0.0, 0.0), (False, -5.0, -6.0, 0.0, 0.0)])
    loss = BCO(beta=1.0)
    seen(loss, rows)
    loss(rows).losses.sum().backward()
    assert leaf.grad.tolist() == pytest.approx([-0.5, 0.5])


def test_is_finite_at_the_extremes(finite_at_extremes):
    finite_at_extremes(BCO())


@pytest.mark.parametrize("beta", [0.0, -1.0, math.inf, math.nan])
def test_rejects_a_beta_that_is_not_positive(beta):
    with pytest.raises(ValueError, match=r"^beta must be > 0, got "):
        BCO(beta=beta)
