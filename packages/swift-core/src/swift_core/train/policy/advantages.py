"""What an answer's reward is compared with, as pure functions over [group, sample]; NaN marks an abstained reward.

A row without a reward has advantage 0 and takes no part in any mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

EPSILON = 1e-4
"""Added to a standard deviation."""


def group(rewards: Tensor) -> Tensor:
    """Return (R - mean of the group) / (unbiased standard deviation of the group + 1e-4).

    GRPO: Shao et al., 2024, arXiv:2402.03300, section 4.1.2. A group of one answer has advantage 0.
    """
    centred, counts = _centred(rewards)
    deviation = (centred.nan_to_num().square().sum(-1, keepdim=True) / (counts - 1).clamp(min=1)).sqrt()
    return (centred / (deviation + EPSILON)).nan_to_num()


def group_mean(rewards: Tensor) -> Tensor:
    """Return R - mean of the group. Dr. GRPO: Liu et al., 2025, arXiv:2503.20783, section 3.2."""
    return _centred(rewards)[0].nan_to_num()


def leave_one_out(rewards: Tensor) -> Tensor:
    """Return R - mean of the others of the group; 0 where there are none.

    RLOO: Ahmadian et al., 2024, arXiv:2402.14740, equation 9.
    """
    centred, counts = _centred(rewards)
    return (centred * counts / (counts - 1).clamp(min=1) * (counts > 1)).nan_to_num()


def batch(rewards: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    """Return (R - mean of the step) / (unbiased standard deviation of the step + 1e-4).

    REINFORCE++: Hu, 2025, arXiv:2501.03262, section 3. `reduce` adds a tensor up over ranks.
    """
    known = ~rewards.isnan()
    values = rewards.nan_to_num().double()
    total, count = reduce(torch.stack([values.sum(), known.sum().double()])).unbind()
    centred = torch.where(known, values - total / count.clamp(min=1), 0.0)
    squares = reduce(centred.square().sum())
    deviation = (squares / (count - 1).clamp(min=1)).sqrt()
    return (centred / (deviation + EPSILON)).to(rewards.dtype)


def none(rewards: Tensor) -> Tensor:
    """Return the rewards themselves."""
    return rewards.nan_to_num()


def beta(rewards: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    """Return (R - p) / f(p; 1 + a / 3, 1 + b / 3), p the group's mean and f the density of a Beta distribution.

    a and b are those of the Beta distribution that the means of all groups have, by the method of moments. Rewards lie
    in [0, 1]. BNPO: Xiao et al., 2025, arXiv:2506.02864, section 3.

    Raises:
        ValueError: A reward lies outside [0, 1].
    """
    known = rewards[~rewards.isnan()]
    if len(known) and not (known.min() >= 0 and known.max() <= 1):
        raise ValueError(f"rewards must lie in [0, 1] for beta advantages, got {known.min():g} to {known.max():g}")
    means = rewards.nanmean(-1, keepdim=True).nan_to_num()
    count, total, squares = reduce(
        torch.stack([torch.tensor(float(len(means))), means.sum(), means.square().sum()]).double()
    ).unbind()
    mean = total / count
    variance = squares / count - mean**2
    spread = mean * (1 - mean) / variance - 1 if variance > 1e-12 else torch.zeros_like(mean)
    first, second = 1 + (mean * spread).clamp(min=0) / 3, 1 + ((1 - mean) * spread).clamp(min=0) / 3
    inside = (means > 0) & (means < 1)
    safe = torch.where(inside, means, 0.5).double()
    log_norm = torch.lgamma(first) + torch.lgamma(second) - torch.lgamma(first + second)
    log_density = (first - 1) * safe.log() + (second - 1) * (-safe).log1p() - log_norm
    scaled = (rewards - means) / log_density.exp().to(rewards.dtype)
    return torch.where(inside, scaled.nan_to_num(), 0.0)


def _centred(rewards: Tensor) -> tuple[Tensor, Tensor]:
    """Return rewards less their group's mean, NaN where there is none, and the number of rewards of each group."""
    counts = (~rewards.isnan()).sum(-1, keepdim=True).to(rewards.dtype)
    return rewards - rewards.nansum(-1, keepdim=True) / counts.clamp(min=1), counts


ESTIMATORS: dict[str, Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]] = {
    "group": lambda rewards, reduce: group(rewards),
    "group_mean": lambda rewards, reduce: group_mean(rewards),
    "leave_one_out": lambda rewards, reduce: leave_one_out(rewards),
    "none": lambda rewards, reduce: none(rewards),
    "batch": batch,
    "beta": beta,
}
"""By the name in `rollout.advantages`, or in a loss's `advantages`."""
