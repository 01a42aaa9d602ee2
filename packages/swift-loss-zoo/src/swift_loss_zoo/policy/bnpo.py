"""Batch-normalised policy optimisation (BNPO): GRPO's token losses, averaged over all tokens of a step.

    loss = mean over all tokens of l

l is a token's clipped surrogate, with the divergence from the reference where `beta` is not 0:

    l = -min(r * A, clip(r, 1 - epsilon_low, 1 + epsilon_high) * A) + beta * (exp(q) - q - 1)
    r = pi / pi_old        q = log ref - log pi

pi and pi_old are a token's probabilities under the policy and the policy that sampled it, A its advantage.
Every token of a step weighs the same, whatever completion it is in: a completion's loss is a mean over its tokens,
weighted by their number. Xiao et al., 2025, arXiv:2506.02864, whose advantages
(`swift_loss_zoo.advantages.beta_normalised`) are the reward less its mean, over a Beta density that follows training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import LossOutput, PolicyOutputs
from swift_loss_zoo._clipped import ClippedTokens
from swift_loss_zoo._policy import lengths, row_means


@dataclass(frozen=True, kw_only=True)
class BNPO(ClippedTokens):
    """How far a step may move the policy, and how strongly the reference holds it."""

    advantages: ClassVar[str] = "beta"

    def __call__(self, policy: PolicyOutputs) -> LossOutput:
        """Return one loss per completion, weighted by its tokens."""
        losses, metrics = self._token_losses(policy)
        return LossOutput(row_means(policy, losses), weights=lengths(policy), metrics=metrics)
