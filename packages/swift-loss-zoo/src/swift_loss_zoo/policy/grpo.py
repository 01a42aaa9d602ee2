"""Group relative policy optimisation (GRPO): PPO's clipped ratio, averaged per completion, held near a reference.

    loss = mean over t of (-min(r * A, clip(r, 1 - epsilon, 1 + epsilon) * A) + beta * (exp(q) - q - 1))
    r = pi / pi_old        q = log ref - log pi

pi and pi_old are a token's probabilities under the policy and the policy that sampled it, A its advantage,
which is its completion's reward against those of its group. Shao et al., 2024, arXiv:2402.03300.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from swift_core.plugin_api import LossOutput, PolicyOutputs, require_between, require_nonnegative
from swift_loss_zoo._bounded import bounded_expm1
from swift_loss_zoo._policy import clipped, row_means, token_metrics, token_ratios


@dataclass(frozen=True, slots=True, kw_only=True)
class GRPO:
    """How far a step may move the policy, and how strongly the reference holds it."""

    epsilon: float = 0.2
    """How far a token's ratio may move from 1 before it has no gradient, in [0, 1)."""

    beta: float = 0.04
    """Weight of the divergence from the reference, >= 0."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_between(0.0, 1.0, epsilon=self.epsilon)
        require_nonnegative(beta=self.beta)

    def __call__(self, policy: PolicyOutputs) -> LossOutput:
        """Return one loss per completion; `kl` is the estimate of the divergence from the reference."""
        surrogate = clipped(token_ratios(policy), policy.advantages, self.epsilon, self.epsilon)
        distance = torch.where(policy.mask, policy.reference_logps - policy.logps, 0)
        divergence = row_means(policy, bounded_expm1(distance) - distance)
        losses = row_means(policy, surrogate) + self.beta * divergence
        return LossOutput(losses, metrics={**token_metrics(policy, self.epsilon, self.epsilon), "kl": divergence})
