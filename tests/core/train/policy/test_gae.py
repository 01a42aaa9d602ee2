"""Rewards of tokens and advantage estimates, against sums written out token by token."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.train.policy.gae import generalised, token_rewards, whitened


@given(
    masks=st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=4),
    gamma=st.floats(0.5, 1.0),
    lam=st.floats(0.0, 1.0),
    seed=st.integers(0, 99),
)
def test_an_estimate_is_the_weighted_sum_of_later_surprises(masks, gamma, lam, seed):
    mask = torch.tensor(masks)
    torch.manual_seed(seed)
    rewards, values = torch.randn(2, *mask.shape, dtype=torch.float64)
    expected = torch.zeros_like(values)
    for row in range(len(mask)):
        places = mask[row].nonzero()[:, 0].tolist()
        for start in range(len(places)):
            total = 0.0
            for steps, index in enumerate(range(start, len(places))):
                after = values[row, places[index + 1]] if index + 1 < len(places) else 0.0
                delta = rewards[row, places[index]] + gamma * after - values[row, places[index]]
                total += (gamma * lam) ** steps * delta
            expected[row, places[start]] = total
    torch.testing.assert_close(generalised(rewards, values, mask, gamma=gamma, lam=lam), expected)


def test_the_answers_reward_comes_with_its_last_token():
    logps, reference = torch.tensor([[-1.0, -2.0, -3.0]]), torch.tensor([[-1.5, -1.0, -9.0]])
    mask = torch.tensor([[True, True, False]])
    rewards = token_rewards(torch.tensor([4.0]), logps, reference, mask, kl_coef=0.1)
    torch.testing.assert_close(rewards, torch.tensor([[-0.05, 0.1 + 4.0, 0.0]]))


def test_an_answer_without_tokens_or_reward_gives_none():
    nothing, some = torch.zeros(1, 2), torch.tensor([[True, True]])
    empty = torch.tensor([[False, False]])
    assert token_rewards(torch.tensor([4.0]), nothing, nothing, empty, kl_coef=0.1).tolist() == [[0.0, 0.0]]
    unjudged = token_rewards(torch.tensor([float("nan")]), nothing, nothing, some, kl_coef=0.1)
    assert unjudged.tolist() == [[0.0, 0.0]]


def test_white_advantages_have_no_mean_and_one_deviation_over_all_tokens():
    torch.manual_seed(0)
    advantages = [torch.randn(3, 4) * 5 + 2, torch.randn(2, 6)]
    masks = [torch.rand(3, 4) > 0.3, torch.rand(2, 6) > 0.3]
    white = whitened(advantages, masks, lambda value: value)
    flat = torch.cat([a[m] for a, m in zip(white, masks, strict=True)])
    assert flat.mean().item() == pytest.approx(0.0, abs=1e-6)
    assert flat.std(correction=0).item() == pytest.approx(1.0, abs=1e-5)
    assert all((a[~m] == 0).all() for a, m in zip(white, masks, strict=True))
