"""Proximal policy optimisation (PPO): a clipped ratio for the policy and a clipped square for its value function.

    loss = mean over all tokens of (-min(r * A, clip(r, 1 - epsilon, 1 + epsilon) * A)
           + value_weight / 2 * max((v - R)^2, (v_old + clip(v - v_old, +-epsilon_value) - R)^2))        r = pi / pi_old

pi and pi_old are a token's probabilities under the policy and the policy that sampled it, A its advantage
(`swift_loss_zoo.advantages.generalised`), v and v_old the value function now and when sampling, R the returns.
Every token of a step weighs the same, whatever completion it is in: a completion's loss is a mean over its tokens,
weighted by their number. Schulman et al., 2017, arXiv:1707.06347, eqs. 7 and 9;
the clip of the value function is that of its authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from swift_core.plugin_api import LossOutput, PolicyOutputs, require_between, require_nonnegative, require_positive
from swift_loss_zoo._policy import clipped, lengths, row_means, token_metrics, token_ratios


@dataclass(frozen=True, slots=True, kw_only=True)
class PPO:
    """How far a step may move the policy and the value function."""

    epsilon: float = 0.2
    """How far a token's ratio may move from 1 before it has no gradient, in [0, 1)."""

    epsilon_value: float = 0.2
    """How far a value may move from what it was when sampling before its gradient ends, > 0."""

    value_weight: float = 0.1
    """Weight of the value function's loss, >= 0."""

    needs_reference: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_between(0.0, 1.0, epsilon=self.epsilon)
        require_positive(epsilon_value=self.epsilon_value)
        require_nonnegative(value_weight=self.value_weight)

    def __call__(self, policy: PolicyOutputs) -> LossOutput:
        """Return one loss per completion, weighted by its tokens; `value_loss` is the second term by itself."""
        surrogate = clipped(token_ratios(policy), policy.advantages, self.epsilon, self.epsilon)
        moved = (policy.values - policy.old_values).clamp(-self.epsilon_value, self.epsilon_value)
        now, held = policy.values - policy.returns, policy.old_values + moved - policy.returns
        value_losses = row_means(policy, torch.maximum(now**2, held**2) / 2)
        losses = row_means(policy, surrogate) + self.value_weight * value_losses
        metrics = {**token_metrics(policy, self.epsilon, self.epsilon), "value_loss": value_losses}
        return LossOutput(losses, weights=lengths(policy), metrics=metrics)
