"""Group relative policy optimisation (GRPO): PPO's clipped ratio, averaged per completion, held near a reference.

    loss = mean over t of l

l is a token's clipped surrogate, with the divergence from the reference where `beta` is not 0:

    l = -min(r * A, clip(r, 1 - epsilon_low, 1 + epsilon_high) * A) + beta * (exp(q) - q - 1)
    r = pi / pi_old        q = log ref - log pi

pi and pi_old are a token's probabilities under the policy and the policy that sampled it, A its advantage,
which is its completion's reward against those of its group (`swift_loss_zoo.advantages.group_relative`). Shao et al.,
2024, arXiv:2402.03300, eqs. 3 and 4. `delta`: INTELLECT-2, arXiv:2505.07291; `unbiased_kl`: DeepSeek-V3.2,
arXiv:2512.02556.
"""

from __future__ import annotations

from dataclasses import dataclass

from swift_core.plugin_api import LossOutput, PolicyOutputs
from swift_loss_zoo._clipped import ClippedTokens
from swift_loss_zoo._policy import row_means


@dataclass(frozen=True, kw_only=True)
class GRPO(ClippedTokens):
    """How far a step may move the policy, and how strongly the reference holds it."""

    beta: float = 0.04
    """Weight of the divergence from the reference, >= 0; at 0 no reference is needed."""

    def __call__(self, policy: PolicyOutputs) -> LossOutput:
        """Return one loss per completion."""
        losses, metrics = self._token_losses(policy)
        return LossOutput(row_means(policy, losses), metrics=metrics)
