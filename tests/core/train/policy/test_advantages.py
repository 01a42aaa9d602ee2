"""Advantages against their formulas, written out answer by answer; abstained rewards take no part."""

import math
import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.train.policy.advantages import ESTIMATORS
from swift_loss_zoo.advantages import beta_normalised

groups_of = st.lists(
    st.lists(st.one_of(st.none(), st.floats(-5, 5, width=16)), min_size=4, max_size=4), min_size=1, max_size=5
)


def alone(value):
    return value


def tensor(groups):
    return torch.tensor([[math.nan if r is None else r for r in group] for group in groups], dtype=torch.float64)


def by_group(groups, of_group):
    """Apply `of_group(rewards, reward)` to every reward that is there; 0 elsewhere."""
    result = []
    for group in groups:
        known = [r for r in group if r is not None]
        result.append([0.0 if r is None else of_group(known, r) for r in group])
    return torch.tensor(result, dtype=torch.float64)


def grpo(known, reward):
    deviation = statistics.stdev(known) if len(known) > 1 else 0.0
    return (reward - statistics.mean(known)) / (deviation + 1e-4)


def rloo(known, reward):
    others = (sum(known) - reward) / (len(known) - 1) if len(known) > 1 else reward
    return reward - others


FORMULAS = {
    "group": grpo,
    "group_mean": lambda known, reward: reward - statistics.mean(known),
    "leave_one_out": rloo,
    "none": lambda known, reward: reward,
}


@pytest.mark.parametrize("name", FORMULAS)
@given(groups=groups_of)
def test_the_formula_of_each_group_estimator(name, groups):
    expected = by_group(groups, FORMULAS[name])
    torch.testing.assert_close(ESTIMATORS[name](tensor(groups), alone), expected, atol=1e-6, rtol=1e-6)


@given(groups=groups_of)
def test_the_batch_estimator_compares_with_every_answer_of_the_step(groups):
    known = [r for group in groups for r in group if r is not None]
    expected = by_group(groups, lambda _, reward: grpo(known, reward))
    torch.testing.assert_close(ESTIMATORS["batch"](tensor(groups), alone), expected, atol=1e-6, rtol=1e-6)


@given(groups=st.lists(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=4, max_size=4), min_size=2, max_size=6))
def test_the_beta_estimator_is_that_of_the_zoo_where_nothing_abstains(groups):
    rewards = tensor(groups)
    torch.testing.assert_close(ESTIMATORS["beta"](rewards, alone), beta_normalised(rewards), atol=1e-6, rtol=1e-6)


def test_two_processes_form_the_batch_estimate_of_one():
    whole = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    halves, expected = whole.split(3), ESTIMATORS["batch"](whole, alone)
    calls = []

    def collect(value):
        calls.append(value)
        return value

    for half in halves:
        ESTIMATORS["batch"](half, collect)
    totals = calls[0] + calls[2]
    mean = totals[0] / totals[1]
    squares = sum(((half - mean) ** 2).sum() for half in halves)
    for half, part in zip(halves, expected.split(3), strict=True):
        answers = iter([totals, squares])
        torch.testing.assert_close(ESTIMATORS["batch"](half, lambda _, answers=answers: next(answers)), part)
