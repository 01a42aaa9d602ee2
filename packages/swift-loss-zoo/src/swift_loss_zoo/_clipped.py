"""What GRPO and its kin share: a clipped ratio for each token, and a divergence from the reference.

    l = -min(r * A, clip(r, 1 - epsilon_low, 1 + epsilon_high) * A) + beta * k        r = pi / pi_old

With `delta`, the unclipped r is bounded by it: a ratio that ran away under a negative advantage is then held
(INTELLECT-2: arXiv:2505.07291, section 3.4). k estimates the divergence from a token that was drawn, with
q = log ref - log pi (Schulman, 2020, "Approximating KL divergence"):

    k1 = -q        k2 = q^2 / 2        k3 = exp(q) - q - 1

k1 and k3 have no bias in their value, and k2 none in its gradient. The gradient of k1 by itself is zero in the mean.
`unbiased_kl` multiplies k by r, so that the gradient of k1 and k3 is unbiased too, also under samples of the old policy
(DeepSeek-V3.2: arXiv:2512.02556, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from swift_core.plugin_api import require_between, require_nonnegative
from swift_loss_zoo._bounded import bounded_expm1
from swift_loss_zoo._policy import row_means, token_metrics, token_ratios

if TYPE_CHECKING:
    from swift_core.plugin_api import PolicyOutputs


_ESTIMATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "k1": lambda distance: -distance,
    "k2": lambda distance: distance.square() / 2,
    "k3": lambda distance: bounded_expm1(distance) - distance,
}


@dataclass(frozen=True, kw_only=True)
class ClippedTokens:
    """How far a step may move the policy, and how strongly the reference holds it.

    It has no slots, because an instance says for itself whether it needs a reference.
    """

    epsilon_low: float = 0.2
    """How far a token's ratio may fall below 1 before it has no gradient, in [0, 1)."""

    epsilon_high: float = 0.2
    """How far it may rise above 1, >= 0."""

    delta: float | None = None
    """Bound of ratios whose advantage is negative, > 1 + epsilon_high; null is none."""

    beta: float = 0.0
    """Weight of the divergence from the reference, >= 0; at 0 no reference is needed."""

    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    """How the divergence is estimated from a token; `k1` holds the policy with `unbiased_kl` alone."""

    unbiased_kl: bool = False
    """Multiply the divergence by the ratio."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_between(0.0, 1.0, epsilon_low=self.epsilon_low)
        require_nonnegative(epsilon_high=self.epsilon_high, beta=self.beta)
        if self.delta is not None and not self.delta > 1 + self.epsilon_high:
            raise ValueError(f"delta must be > 1 + epsilon_high = {1 + self.epsilon_high:g}, got {self.delta}")
        if self.unbiased_kl and not self.beta:
            raise ValueError("unbiased_kl has no effect with beta: 0.0")
        if self.kl_estimator not in _ESTIMATORS:
            raise ValueError(f"kl_estimator must be one of {', '.join(_ESTIMATORS)}, got {self.kl_estimator!r}")
        if self.kl_estimator != "k3" and not self.beta:
            raise ValueError("kl_estimator has no effect with beta: 0.0")
        if self.kl_estimator == "k1" and not self.unbiased_kl:
            raise ValueError("kl_estimator: k1 has no gradient in the mean: add unbiased_kl: true, or take k2 or k3")
        object.__setattr__(self, "needs_reference", self.beta > 0)

    def _token_losses(self, policy: PolicyOutputs) -> tuple[Tensor, dict[str, Tensor]]:
        """Return [row, time] losses, and metrics per row: `kl` is the estimate of the divergence."""
        ratios, advantages = token_ratios(policy), policy.advantages
        held = ratios if self.delta is None else ratios.clamp(max=self.delta)
        losses = -torch.minimum(
            held * advantages, ratios.clamp(1 - self.epsilon_low, 1 + self.epsilon_high) * advantages
        )
        metrics = token_metrics(policy, self.epsilon_low, self.epsilon_high)
        if not self.beta:
            return losses, metrics
        distance = torch.where(policy.mask, policy.reference_logps - policy.logps, 0)
        divergence = _ESTIMATORS[self.kl_estimator](distance)
        if self.unbiased_kl:
            divergence = divergence * ratios
        return losses + self.beta * divergence, metrics | {"kl": row_means(policy, divergence)}
