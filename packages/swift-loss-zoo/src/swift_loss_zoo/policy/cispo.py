"""Clipped importance sampling policy optimisation (CISPO): the weight is clipped and no token loses its gradient.

    loss = mean over all tokens of -sg(min(r, 1 + epsilon_high)) * A * log pi + beta * k        r = pi / pi_old

sg stops the gradient; pi and pi_old are a token's probabilities under the policy and the policy that sampled it, A its
advantage.
Every token of a step weighs the same, whatever completion it is in: a completion's loss is a mean over its tokens,
weighted by their number. k is the divergence from the reference of GRPO, which the paper leaves out: beta is 0 unless
it is given. MiniMax, 2025, arXiv:2506.13585.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import LossOutput, PolicyOutputs, require_nonnegative
from swift_loss_zoo._divergence import HeldTokens
from swift_loss_zoo._policy import lengths, row_means, token_ratios


@dataclass(frozen=True, kw_only=True)
class CISPO(HeldTokens):
    """How much a token may weigh that has become likelier."""

    epsilon_high: float = 4.0
    """How far a token's weight may rise above 1, >= 0."""

    stops_gradient: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_nonnegative(epsilon_high=self.epsilon_high)
        super().__post_init__()

    def __call__(self, policy: PolicyOutputs) -> LossOutput:
        """Return one loss per completion, weighted by its tokens."""
        ratios = token_ratios(policy).detach()
        losses = row_means(policy, -ratios.clamp(max=1 + self.epsilon_high) * policy.advantages * policy.logps)
        clipped = (ratios > 1 + self.epsilon_high).to(ratios.dtype)
        metrics = {"ratio": row_means(policy, ratios), "clipped": row_means(policy, clipped)}
        held, divergence = self._held_rows(policy)
        return LossOutput(losses + held, weights=lengths(policy), metrics=metrics | divergence)
