"""Rewards of tokens, and generalised advantage estimates of them, as pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable


def token_rewards(rewards: Tensor, logps: Tensor, reference: Tensor, mask: Tensor, *, kl_coef: float) -> Tensor:
    """Return each token's reward, [row, time]: what holds the policy near the reference, and the answer's at its end.

        r[t] = -kl_coef * (log pi[t] - log ref[t]) + [t is the last token] * R

    Ziegler et al., 2019, arXiv:1909.08593, equation 2.

    Args:
        rewards: [row] R; NaN, where every reward abstained, counts as 0.
        logps: [row, time] of the policy that drew the answers.
        reference: [row, time] of the reference.
        mask: [row, time] bool, True on the answer's tokens.
        kl_coef: Weight of the divergence, >= 0.
    """
    result = torch.where(mask, -kl_coef * (logps - reference), 0.0)
    place = torch.arange(mask.shape[1], device=mask.device)
    last = torch.where(mask, place, -1).amax(1)
    has_tokens = last >= 0
    result[has_tokens, last[has_tokens]] += rewards.nan_to_num().to(result.dtype)[has_tokens]
    return result


def generalised(rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float, lam: float) -> Tensor:
    """Return generalised advantage estimates, [row, time]; 0 where `mask` is False.

        delta[t] = r[t] + gamma * v[t + 1] - v[t]
        A[t]     = delta[t] + gamma * lam * A[t + 1]

    t + 1 is the next token of the answer; v and A are 0 past its end. Schulman et al., 2015, arXiv:1506.02438,
    equations 11 to 16. The returns that a value function learns are A + v.
    """
    following = torch.zeros_like(values[:, 0])
    value = torch.zeros_like(following)
    advantages = torch.zeros_like(values)
    for time in reversed(range(values.shape[1])):
        here = mask[:, time]
        delta = rewards[:, time] + gamma * value - values[:, time]
        following = torch.where(here, delta + gamma * lam * following, following)
        value = torch.where(here, values[:, time], value)
        advantages[:, time] = torch.where(here, following, 0.0)
    return advantages


def whitened(advantages: list[Tensor], masks: list[Tensor], reduce: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Return advantages less their mean over their standard deviation, over all tokens of the step and all ranks."""
    total = sum((a[m].double().sum() for a, m in zip(advantages, masks, strict=True)), torch.zeros(()).double())
    count = torch.tensor(float(sum(int(m.sum()) for m in masks))).double()
    total, count = reduce(torch.stack([total.cpu(), count])).unbind()
    mean = total / count.clamp(min=1)
    squares = sum(
        ((a[m].double() - mean).square().sum().cpu() for a, m in zip(advantages, masks, strict=True)),
        torch.zeros(()).double(),
    )
    scale = (reduce(squares) / count.clamp(min=1)).sqrt() + 1e-8
    return [torch.where(m, (a - mean.to(a)) / scale.to(a), 0.0) for a, m in zip(advantages, masks, strict=True)]
