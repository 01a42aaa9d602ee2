"""REINFORCE++: PPO's clipped ratio without a critic; advantages are normalised over the whole batch.

    loss = mean over all tokens of -min(r * A, clip(r, 1 - epsilon, 1 + epsilon) * A)        r = pi / pi_old

pi and pi_old are a token's probabilities under the policy and the policy that sampled it, A its advantage.
Every token of a step weighs the same, whatever completion it is in: a completion's loss is a mean over its tokens,
weighted by their number. Hu et al., 2025, arXiv:2501.03262.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import LossOutput, PolicyOutputs, require_between
from swift_loss_zoo._policy import clipped, lengths, row_means, token_metrics, token_ratios


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinforcePlusPlus:
    """How far a step may move the policy."""

    epsilon: float = 0.2
    """How far a token's ratio may move from 1 before it has no gradient, in [0, 1)."""

    needs_reference: ClassVar[bool] = False
    advantages: ClassVar[str] = "batch"

    def __post_init__(self) -> None:
        require_between(0.0, 1.0, epsilon=self.epsilon)

    def __call__(self, policy: PolicyOutputs) -> LossOutput:
        """Return one loss per completion, weighted by its tokens."""
        surrogate = clipped(token_ratios(policy), policy.advantages, self.epsilon, self.epsilon)
        metrics = token_metrics(policy, self.epsilon, self.epsilon)
        return LossOutput(row_means(policy, surrogate), weights=lengths(policy), metrics=metrics)
