"""Soft adaptive policy optimisation (SAPO): a sigmoid in place of the clip, so that gradients fade and do not stop.

    loss = mean over t of -4 / tau * sigmoid(tau * (r - 1)) * A + beta * k        r = pi / pi_old

tau is `tau_positive` where A > 0 and `tau_negative` elsewhere; pi and pi_old are a token's probabilities under the
policy and the policy that sampled it, A its advantage. k is the divergence from the reference of GRPO, which the paper
leaves out: beta is 0 unless it is given. arXiv:2511.20347.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from swift_core.plugin_api import LossOutput, PolicyOutputs, require_positive
from swift_loss_zoo._divergence import HeldTokens
from swift_loss_zoo._policy import row_means, token_ratios


@dataclass(frozen=True, kw_only=True)
class SAPO(HeldTokens):
    """How fast gradients fade away from a ratio of 1, where advantages are positive and where they are not."""

    tau_positive: float = 1.0
    """Temperature where the advantage is positive, > 0; larger fades faster."""

    tau_negative: float = 1.05
    """Temperature elsewhere, > 0; above the other one, unlikely tokens are pushed down more carefully."""

    def __post_init__(self) -> None:
        require_positive(tau_positive=self.tau_positive, tau_negative=self.tau_negative)
        super().__post_init__()

    def __call__(self, policy: PolicyOutputs) -> LossOutput:
        """Return one loss per completion."""
        ratios, advantages = token_ratios(policy), policy.advantages
        tau = torch.where(advantages > 0, torch.full_like(ratios, self.tau_positive), self.tau_negative)
        gates = 4 / tau * (tau * (ratios - 1)).sigmoid()
        held, divergence = self._held_rows(policy)
        metrics = {"ratio": row_means(policy, ratios.detach())} | divergence
        return LossOutput(row_means(policy, -gates * advantages) + held, metrics=metrics)
