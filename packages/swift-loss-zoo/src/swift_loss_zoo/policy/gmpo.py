"""Geometric-mean policy optimisation (GMPO): token ratios are clipped and averaged geometrically.

    loss = -exp(mean over t of c(log r)) * A        r = pi / pi_old
    c(x) = min(x, epsilon_high) where A > 0, max(x, -epsilon_low) elsewhere

pi and pi_old are a token's probabilities under the policy and the policy that sampled it, A its advantage.
Zhao et al., 2025, arXiv:2507.20673.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from swift_core.plugin_api import LossOutput, PolicyOutputs, require_positive
from swift_loss_zoo._bounded import bounded_exp
from swift_loss_zoo._policy import log_ratios, row_advantages, row_means, token_ratios


@dataclass(frozen=True, slots=True, kw_only=True)
class GMPO:
    """How far a step may move a token's log-probability."""

    epsilon_low: float = 0.4
    """How far a token's log-ratio may fall below 0 under a negative advantage, in nats, > 0."""

    epsilon_high: float = 0.4
    """How far it may rise above 0 under a positive one, in nats, > 0."""

    needs_reference: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_positive(epsilon_low=self.epsilon_low, epsilon_high=self.epsilon_high)

    def __call__(self, policy: PolicyOutputs) -> LossOutput:
        """Return one loss per completion."""
        changes, rises = log_ratios(policy), policy.advantages > 0
        kept = torch.where(rises, changes.clamp(max=self.epsilon_high), changes.clamp(min=-self.epsilon_low))
        losses = -bounded_exp(row_means(policy, kept)) * row_advantages(policy)
        clipped = (kept != changes).to(changes.dtype)
        metrics = {"ratio": row_means(policy, token_ratios(policy).detach()), "clipped": row_means(policy, clipped)}
        return LossOutput(losses, metrics=metrics)
