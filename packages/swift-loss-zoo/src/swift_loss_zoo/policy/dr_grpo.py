"""GRPO done right (Dr. GRPO): sums over tokens and a constant divisor, so that length has no reward of its own.

    loss = 1 / L * sum over t of l

l is a token's clipped surrogate, with the divergence from the reference where `beta` is not 0:

    l = -min(r * A, clip(r, 1 - epsilon_low, 1 + epsilon_high) * A) + beta * (exp(q) - q - 1)
    r = pi / pi_old        q = log ref - log pi

pi and pi_old are a token's probabilities under the policy and the policy that sampled it, A its advantage,
without division by a deviation, and L the number of tokens a completion may have. Liu et al., 2025, arXiv:2503.20783,
which has no reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import LossOutput, PolicyOutputs
from swift_loss_zoo._clipped import ClippedTokens
from swift_loss_zoo._policy import row_sums


@dataclass(frozen=True, kw_only=True)
class DrGRPO(ClippedTokens):
    """How far a step may move the policy, and how strongly the reference holds it."""

    advantages: ClassVar[str] = "group_mean"

    def __call__(self, policy: PolicyOutputs) -> LossOutput:
        """Return one loss per completion."""
        losses, metrics = self._token_losses(policy)
        return LossOutput(row_sums(policy, losses) / policy.max_length, metrics=metrics)
