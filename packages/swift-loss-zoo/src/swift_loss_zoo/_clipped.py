"""What GRPO and its kin share: a clipped ratio for each token, and a divergence from the reference.

    l = -min(r * A, clip(r, 1 - epsilon_low, 1 + epsilon_high) * A) + beta * k        r = pi / pi_old

With `delta`, the unclipped r is bounded by it: a ratio that ran away under a negative advantage is then held
(INTELLECT-2: arXiv:2505.07291, section 3.4). k estimates the divergence from a token that was drawn: `_divergence.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from swift_core.plugin_api import require_between, require_nonnegative
from swift_loss_zoo._divergence import HeldTokens
from swift_loss_zoo._policy import token_metrics, token_ratios

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.plugin_api import PolicyOutputs


@dataclass(frozen=True, kw_only=True)
class ClippedTokens(HeldTokens):
    """How far a step may move the policy, and how strongly the reference holds it."""

    epsilon_low: float = 0.2
    """How far a token's ratio may fall below 1 before it has no gradient, in [0, 1)."""

    epsilon_high: float = 0.2
    """How far it may rise above 1, >= 0."""

    delta: float | None = None
    """Bound of ratios whose advantage is negative, > 1 + epsilon_high; null is none."""

    def __post_init__(self) -> None:
        require_between(0.0, 1.0, epsilon_low=self.epsilon_low)
        require_nonnegative(epsilon_high=self.epsilon_high)
        if self.delta is not None and not self.delta > 1 + self.epsilon_high:
            raise ValueError(f"delta must be > 1 + epsilon_high = {1 + self.epsilon_high:g}, got {self.delta}")
        super().__post_init__()

    def _token_losses(self, policy: PolicyOutputs) -> tuple[Tensor, dict[str, Tensor]]:
        """Return [row, time] losses, and metrics per row: `kl` is the estimate of the divergence."""
        ratios, advantages = token_ratios(policy), policy.advantages
        held = ratios if self.delta is None else ratios.clamp(max=self.delta)
        losses = -torch.minimum(
            held * advantages, ratios.clamp(1 - self.epsilon_low, 1 + self.epsilon_high) * advantages
        )
        metrics = token_metrics(policy, self.epsilon_low, self.epsilon_high)
        held_near, divergence = self._held(policy)
        return (losses if held_near is None else losses + held_near), metrics | divergence
