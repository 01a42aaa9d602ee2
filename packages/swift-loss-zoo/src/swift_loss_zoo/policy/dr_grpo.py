"""GRPO done right (Dr. GRPO): sums over tokens and a constant divisor, so that length has no reward of its own.

    loss = 1 / L * sum over t of -min(r * A, clip(r, 1 - epsilon, 1 + epsilon) * A)        r = pi / pi_old

pi and pi_old are a token's probabilities under the policy and the policy that sampled it, A its advantage,
without division by a deviation, and L the number of tokens a completion may have. Liu et al., 2025, arXiv:2503.20783.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import LossOutput, PolicyOutputs, require_between
from swift_loss_zoo._policy import clipped, row_sums, token_metrics, token_ratios


@dataclass(frozen=True, slots=True, kw_only=True)
class DrGRPO:
    """How far a step may move the policy."""

    epsilon: float = 0.2
    """How far a token's ratio may move from 1 before it has no gradient, in [0, 1)."""

    needs_reference: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_between(0.0, 1.0, epsilon=self.epsilon)

    def __call__(self, policy: PolicyOutputs) -> LossOutput:
        """Return one loss per completion."""
        surrogate = clipped(token_ratios(policy), policy.advantages, self.epsilon, self.epsilon)
        losses = row_sums(policy, surrogate) / policy.max_length
        return LossOutput(losses, metrics=token_metrics(policy, self.epsilon, self.epsilon))
