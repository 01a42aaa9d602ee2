"""Advantages from rewards, as pure functions: what losses on sampled completions are fed with."""

from __future__ import annotations

import torch
from torch import Tensor


def group_relative(rewards: Tensor, *, scale: bool = True, epsilon: float = 1e-4) -> Tensor:
    """Return rewards less the mean of their group, [group, sample], over its standard deviation when `scale`.

    The deviation is the unbiased one, plus `epsilon`. A group of one sample has advantage 0. GRPO: Shao et al., 2024,
    arXiv:2402.03300; without the scale, Dr. GRPO: Liu et al., 2025, arXiv:2503.20783.
    """
    centred = rewards - rewards.mean(-1, keepdim=True)
    if not scale or rewards.shape[-1] < 2:
        return centred
    return centred / (rewards.std(-1, keepdim=True) + epsilon)


def leave_one_out(rewards: Tensor) -> Tensor:
    """Return each reward less the mean of the others of its group, [group, sample].

    RLOO: Ahmadian et al., 2024, arXiv:2402.14740.

    Raises:
        ValueError: When a group has fewer than two samples.
    """
    count = rewards.shape[-1]
    if count < 2:
        raise ValueError(f"leaving one out needs groups of 2 samples or more, got {count}")
    return (rewards - rewards.mean(-1, keepdim=True)) * count / (count - 1)


def generalised(rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float = 1.0, lam: float = 0.95) -> Tensor:
    """Return generalised advantage estimates, [row, time].

        delta[t] = rewards[t] + gamma * values[t + 1] - values[t]
        A[t]     = delta[t] + gamma * lam * A[t + 1]

    values and A are 0 past the last token. The returns that a value function learns are A + values. Schulman et al.,
    2015, arXiv:1506.02438.

    Args:
        rewards: [row, time].
        values: [row, time], what the value function said before each token.
        mask: [row, time] bool, True on tokens; each row's tokens stand from the left.
        gamma: Discount.
        lam: Between 0, one step, and 1, the whole rest of the completion.
    """
    values = torch.where(mask, values, 0)
    following = torch.zeros_like(values[:, 0])
    advantages = torch.zeros_like(values)
    for time in reversed(range(values.shape[1])):
        after = values[:, time + 1] if time + 1 < values.shape[1] else torch.zeros_like(following)
        delta = rewards[:, time] + gamma * after - values[:, time]
        following = torch.where(mask[:, time], delta + gamma * lam * following, 0)
        advantages[:, time] = following
    return advantages


def beta_normalised(rewards: Tensor) -> Tensor:
    """Return rewards less their group's mean over a Beta density at that mean, [group, sample].

        A = (R - p) / f(p; 1 + a / 3, 1 + b / 3)        p = mean of the group, f the density of the Beta distribution

    a and b are those of the Beta distribution that the means p of all groups have, by the method of moments: with these
    parameters of f the variance of the gradient is least. Where all groups have the same mean there is no such
    distribution, and f is 1. Rewards lie in [0, 1]. BNPO: Xiao et al., 2025, arXiv:2506.02864.
    """
    means = rewards.mean(-1, keepdim=True)
    mean, variance = means.mean(), means.var(correction=0)
    spread = mean * (1 - mean) / variance - 1 if variance > 0 else torch.zeros_like(mean)
    alpha, beta = 1 + (mean * spread).clamp(min=0) / 3, 1 + ((1 - mean) * spread).clamp(min=0) / 3
    centred = rewards - means
    inside = (means > 0) & (means < 1)
    safe = torch.where(inside, means, 0.5)
    log_norm = torch.lgamma(alpha) + torch.lgamma(beta) - torch.lgamma(alpha + beta)
    log_density = (alpha - 1) * safe.log() + (beta - 1) * (-safe).log1p() - log_norm
    return torch.where(inside, centred / log_density.exp(), torch.zeros_like(centred))
