"""Decoupled clip policy optimisation (DAPO): GRPO averaged over tokens, with more room upwards than downwards.

    loss = mean over all tokens of -min(r * A, clip(r, 1 - epsilon_low, 1 + epsilon_high) * A)        r = pi / pi_old

pi and pi_old are a token's probabilities under the policy and the policy that sampled it, A its advantage.
Every token of a step weighs the same, whatever completion it is in: a completion's loss is a mean over its tokens,
weighted by their number. Yu et al., 2025, arXiv:2503.14476.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import LossOutput, PolicyOutputs, require_between, require_nonnegative
from swift_loss_zoo._policy import clipped, lengths, row_means, token_metrics, token_ratios


@dataclass(frozen=True, slots=True, kw_only=True)
class DAPO:
    """How far a step may move the policy, down and up."""

    epsilon_low: float = 0.2
    """How far a token's ratio may fall below 1 before it has no gradient, in [0, 1)."""

    epsilon_high: float = 0.28
    """How far it may rise above 1, >= 0."""

    needs_reference: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_between(0.0, 1.0, epsilon_low=self.epsilon_low)
        require_nonnegative(epsilon_high=self.epsilon_high)

    def __call__(self, policy: PolicyOutputs) -> LossOutput:
        """Return one loss per completion, weighted by its tokens."""
        surrogate = clipped(token_ratios(policy), policy.advantages, self.epsilon_low, self.epsilon_high)
        metrics = token_metrics(policy, self.epsilon_low, self.epsilon_high)
        return LossOutput(row_means(policy, surrogate), weights=lengths(policy), metrics=metrics)
