import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.advantages import generalised, group_relative, leave_one_out

groups = st.lists(st.floats(-10, 10), min_size=2, max_size=6)


def tensor(values):
    return torch.tensor([values], dtype=torch.float64)


@given(rewards=groups)
def test_group_relative_matches_the_formula(rewards):
    mean, deviation = statistics.fmean(rewards), statistics.stdev(rewards)
    expected = [(reward - mean) / (deviation + 1e-4) for reward in rewards]
    assert group_relative(tensor(rewards))[0].tolist() == pytest.approx(expected, rel=1e-6, abs=1e-6)
    centred = [reward - mean for reward in rewards]
    assert group_relative(tensor(rewards), scale=False)[0].tolist() == pytest.approx(centred, abs=1e-9)


def test_a_group_without_differences_has_no_advantage():
    assert group_relative(tensor([1.0, 1.0, 1.0])).tolist() == [[0.0, 0.0, 0.0]]
    assert group_relative(tensor([3.0])).tolist() == [[0.0]]


@given(rewards=groups)
def test_leave_one_out_is_against_the_mean_of_the_others(rewards):
    expected = [
        reward - statistics.fmean(rewards[:place] + rewards[place + 1 :]) for place, reward in enumerate(rewards)
    ]
    assert leave_one_out(tensor(rewards))[0].tolist() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_leave_one_out_needs_others():
    with pytest.raises(ValueError, match=r"^leaving one out needs groups of 2 samples or more, got 1$"):
        leave_one_out(tensor([1.0]))


@given(
    rows=st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=6),
    gamma=st.floats(0, 1),
    lam=st.floats(0, 1),
)
def test_generalised_advantages_are_the_discounted_sum_of_one_step_errors(rows, gamma, lam):
    rewards, values = [row[0] for row in rows], [row[1] for row in rows]
    after = [*values[1:], 0.0]
    deltas = [reward + gamma * nxt - value for reward, value, nxt in zip(rewards, values, after, strict=True)]
    expected = [
        sum((gamma * lam) ** (later - now) * deltas[later] for later in range(now, len(rows)))
        for now in range(len(rows))
    ]
    mask = torch.ones(1, len(rows), dtype=torch.bool)
    advantages = generalised(tensor(rewards), tensor(values), mask, gamma=gamma, lam=lam)
    assert advantages[0].tolist() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_what_lies_past_the_end_of_a_row_changes_nothing():
    mask = torch.tensor([[True, True, False]])
    padded = generalised(tensor([1.0, 2.0, 99.0]), tensor([0.5, 0.5, 99.0]), mask)
    alone = generalised(tensor([1.0, 2.0]), tensor([0.5, 0.5]), mask[:, :2])
    assert padded[0, :2].tolist() == alone[0].tolist()
    assert padded[0, 2].item() == 0.0


def test_with_lambda_one_it_is_what_is_left_to_gain_less_the_value():
    mask = torch.ones(1, 3, dtype=torch.bool)
    advantages = generalised(tensor([0.0, 0.0, 1.0]), tensor([0.2, 0.5, 0.9]), mask, lam=1.0)
    assert advantages[0].tolist() == pytest.approx([0.8, 0.5, 0.1])
