"""What losses on sampled completions share: ratios to the sampling policy, clipping, sums over completions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from swift_loss_zoo._bounded import bounded_exp

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.plugin_api import PolicyOutputs


def log_ratios(policy: PolicyOutputs) -> Tensor:
    """Return log pi - log pi_old of each token, [row, time] in nats, 0 where there is no token."""
    return torch.where(policy.mask, policy.logps - policy.old_logps, 0)


def token_ratios(policy: PolicyOutputs) -> Tensor:
    """Return pi / pi_old of each token, [row, time]."""
    return bounded_exp(log_ratios(policy))


def sequence_ratios(policy: PolicyOutputs) -> Tensor:
    """Return the geometric mean of the token ratios of each completion, [row]; 1 for an empty one."""
    return bounded_exp(row_means(policy, log_ratios(policy)))


def clipped(ratios: Tensor, advantages: Tensor, low: float, high: float) -> Tensor:
    """Return -min(ratio * A, clip(ratio, 1 - low, 1 + high) * A), elementwise (PPO, arXiv:1707.06347, eq. 7)."""
    return -torch.minimum(ratios * advantages, ratios.clamp(1 - low, 1 + high) * advantages)


def lengths(policy: PolicyOutputs) -> Tensor:
    """Return the number of tokens of each completion, [row], as a float."""
    return policy.mask.sum(-1).to(policy.logps.dtype)


def row_sums(policy: PolicyOutputs, values: Tensor) -> Tensor:
    """[row, time] -> [row], over the tokens of each completion."""
    return torch.where(policy.mask, values, 0).sum(-1)


def row_means(policy: PolicyOutputs, values: Tensor) -> Tensor:
    """[row, time] -> [row], over the tokens of each completion; 0 for an empty one."""
    return row_sums(policy, values) / lengths(policy).clamp(min=1)


def row_advantages(policy: PolicyOutputs) -> Tensor:
    """Return one advantage per completion, [row]: the mean of those of its tokens, which are mostly equal."""
    return row_means(policy, policy.advantages)


def token_metrics(policy: PolicyOutputs, low: float, high: float) -> dict[str, Tensor]:
    """Return the mean ratio of each completion, and the share of its tokens whose gradient the clip takes away."""
    ratios = token_ratios(policy).detach()
    up, down = (ratios > 1 + high) & (policy.advantages > 0), (ratios < 1 - low) & (policy.advantages < 0)
    return {"ratio": row_means(policy, ratios), "clipped": row_means(policy, (up | down).to(ratios.dtype))}


def sequence_metrics(policy: PolicyOutputs, low: float, high: float) -> dict[str, Tensor]:
    """Return the ratio of each completion, and 1 where the clip takes its gradient away."""
    ratios, advantages = sequence_ratios(policy).detach(), row_advantages(policy)
    taken = ((ratios > 1 + high) & (advantages > 0)) | ((ratios < 1 - low) & (advantages < 0))
    return {"ratio": ratios, "clipped": taken.to(ratios.dtype)}
