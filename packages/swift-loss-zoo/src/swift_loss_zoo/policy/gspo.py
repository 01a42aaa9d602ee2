"""Group sequence policy optimisation (GSPO): one ratio per completion, clipped as a whole.

    loss = -min(s * A, clip(s, 1 - epsilon_low, 1 + epsilon_high) * A) + beta * mean over t of k
    s = exp(mean over t of log(pi / pi_old))

pi and pi_old are the probabilities of a token under the policy and the policy that sampled it, A the completion's
advantage. k is the divergence from the reference of GRPO, which the paper leaves out: beta is 0 unless it is given.
Zheng et al., 2025, arXiv:2507.18071.
"""

from __future__ import annotations

from dataclasses import dataclass

from swift_core.plugin_api import LossOutput, PolicyOutputs, require_between, require_nonnegative
from swift_loss_zoo._divergence import HeldTokens
from swift_loss_zoo._policy import clipped, row_advantages, sequence_metrics, sequence_ratios


@dataclass(frozen=True, kw_only=True)
class GSPO(HeldTokens):
    """How far a step may move a completion's probability per token, down and up."""

    epsilon_low: float = 3e-4
    """How far a completion's ratio may fall below 1 before it has no gradient, in [0, 1)."""

    epsilon_high: float = 4e-4
    """How far it may rise above 1, >= 0."""

    def __post_init__(self) -> None:
        require_between(0.0, 1.0, epsilon_low=self.epsilon_low)
        require_nonnegative(epsilon_high=self.epsilon_high)
        super().__post_init__()

    def __call__(self, policy: PolicyOutputs) -> LossOutput:
        """Return one loss per completion."""
        losses = clipped(sequence_ratios(policy), row_advantages(policy), self.epsilon_low, self.epsilon_high)
        held, divergence = self._held_rows(policy)
        metrics = sequence_metrics(policy, self.epsilon_low, self.epsilon_high) | divergence
        return LossOutput(losses + held, metrics=metrics)
