"""What holds losses on sampled completions near the reference: a divergence, estimated from the tokens drawn.

With q = log ref - log pi of a token (Schulman, 2020, "Approximating KL divergence"):

    k1 = -q        k2 = q^2 / 2        k3 = exp(q) - q - 1

k1 and k3 have no bias in their value, and k2 none in its gradient. The gradient of k1 by itself is zero in the mean.
`unbiased_kl` multiplies k by r = pi / pi_old, so that the gradient of k1 and k3 is unbiased too, also under samples of
the old policy (DeepSeek-V3.2: arXiv:2512.02556, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from swift_core.plugin_api import require_nonnegative
from swift_loss_zoo._bounded import bounded_expm1
from swift_loss_zoo._policy import row_means, token_ratios

if TYPE_CHECKING:
    from swift_core.plugin_api import PolicyOutputs

_ESTIMATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "k1": lambda distance: -distance,
    "k2": lambda distance: distance.square() / 2,
    "k3": lambda distance: bounded_expm1(distance) - distance,
}


@dataclass(frozen=True, kw_only=True)
class HeldTokens:
    """How strongly the reference holds the policy.

    It has no slots, because an instance says for itself whether it needs a reference.
    """

    beta: float = 0.0
    """Weight of the divergence from the reference, >= 0; at 0 no reference is needed."""

    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    """How the divergence is estimated from a token; `k1` holds the policy with `unbiased_kl` alone."""

    unbiased_kl: bool = False
    """Multiply the divergence by the token's ratio."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_nonnegative(beta=self.beta)
        if self.unbiased_kl and not self.beta:
            raise ValueError("unbiased_kl has no effect with beta: 0.0")
        if self.kl_estimator not in _ESTIMATORS:
            raise ValueError(f"kl_estimator must be one of {', '.join(_ESTIMATORS)}, got {self.kl_estimator!r}")
        if self.kl_estimator != "k3" and not self.beta:
            raise ValueError("kl_estimator has no effect with beta: 0.0")
        if self.kl_estimator == "k1" and not self.unbiased_kl:
            raise ValueError("kl_estimator: k1 has no gradient in the mean: add unbiased_kl: true, or take k2 or k3")
        object.__setattr__(self, "needs_reference", self.beta > 0)

    def _held(self, policy: PolicyOutputs) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Return beta times the divergence of each token, [row, time], and its mean per row; None for no beta."""
        if not self.beta:
            return None, {}
        distance = torch.where(policy.mask, policy.reference_logps - policy.logps, 0)
        divergence = _ESTIMATORS[self.kl_estimator](distance)
        if self.unbiased_kl:
            divergence = divergence * token_ratios(policy)
        return self.beta * divergence, {"kl": row_means(policy, divergence)}

    def _held_rows(self, policy: PolicyOutputs) -> tuple[Tensor | float, dict[str, Tensor]]:
        """Return beta times the mean divergence of each completion, [row], and the divergence; 0 for no beta."""
        held, metrics = self._held(policy)
        return (0.0 if held is None else row_means(policy, held)), metrics
