"""Variational sequence-level soft policy optimisation (VESPO): each completion by a smooth weight of its whole ratio.

    loss = mean over all tokens of -sg(phi(w)) * A * log pi
    phi(w) = w^k * exp(c * (1 - w))        w = product over t of pi / pi_old

k and c are `k_positive` and `lambda_positive` where A >= 0, `k_negative` and `lambda_negative` elsewhere. sg stops the
gradient; pi and pi_old are a token's probabilities under the policy and the policy that sampled it, A its advantage.
phi is 1 at w = 1 and falls to 0 on both sides of its peak at k / c: completions that the policy has left behind,
or that it alone would write, move nothing. Every token of a step weighs the same, whatever completion it is in. Shen et
al., 2026, arXiv:2602.10693.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from swift_core.plugin_api import LossOutput, PolicyOutputs, require_nonnegative
from swift_loss_zoo._policy import lengths, log_ratios, row_means, row_sums

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class VESPO:
    """How a completion's weight rises and falls with its ratio."""

    k_positive: float = 2.0
    """Power of the ratio where the advantage is not negative, >= 0."""

    lambda_positive: float = 3.0
    """Rate at which large ratios are damped there, >= 0."""

    k_negative: float = 3.0
    """Power of the ratio where the advantage is negative, >= 0."""

    lambda_negative: float = 2.0
    """Rate at which large ratios are damped there, >= 0."""

    needs_reference: ClassVar[bool] = False
    stops_gradient: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_nonnegative(k_positive=self.k_positive, lambda_positive=self.lambda_positive)
        require_nonnegative(k_negative=self.k_negative, lambda_negative=self.lambda_negative)

    def __call__(self, policy: PolicyOutputs) -> LossOutput:
        """Return one loss per completion, weighted by its tokens; `sequence_weight` is phi."""
        weights = self._weights(policy)
        losses = row_means(policy, -weights * policy.advantages * policy.logps)
        return LossOutput(losses, weights=lengths(policy), metrics={"sequence_weight": row_means(policy, weights)})

    def _weights(self, policy: PolicyOutputs) -> Tensor:
        """Return phi, [row, time]: tokens of one completion differ only where the signs of their advantages do."""
        log_w = row_sums(policy, log_ratios(policy)).detach()[:, None]
        is_positive = policy.advantages >= 0
        power = torch.where(is_positive, torch.full_like(log_w, self.k_positive), self.k_negative)
        rate = torch.where(is_positive, torch.full_like(log_w, self.lambda_positive), self.lambda_negative)
        damping = rate * log_w.clamp(max=60).exp()
        return (rate + power * log_w - damping).clamp(max=60).exp()
