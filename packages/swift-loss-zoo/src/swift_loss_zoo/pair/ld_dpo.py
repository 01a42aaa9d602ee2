"""Length-desensitised DPO (LD-DPO): the tokens that only the longer completion has count for less.

    loss  = -log sigmoid(beta * ((pi'_c - ref'_c) - (pi'_r - ref'_r)))
    pi'_y = sum of log pi(y_t) over t <= n, plus ld_alpha times the sum over t > n        n = min(|y_c|, |y_r|)

and ref' likewise under the reference, in nats; c chosen and r rejected. Liu et al., 2024, arXiv:2409.06411.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_nonnegative, require_positive
from swift_loss_zoo._rewards import reward_metrics

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LDDPO:
    """How far the policy may move, and how much the tail of the longer completion counts."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    ld_alpha: float = 0.5
    """Weight of the tokens past the length of the shorter completion, in [0, 1]; at 1 the loss is DPO."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)
        require_nonnegative(ld_alpha=self.ld_alpha)
        if self.ld_alpha > 1:
            raise ValueError(f"ld_alpha must be <= 1, got {self.ld_alpha}")

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with implicit-reward metrics."""
        shared = torch.minimum(pairs.chosen_lengths, pairs.rejected_lengths)
        ratio_chosen = pairs.chosen_token_logps - pairs.reference_chosen_token_logps
        ratio_rejected = pairs.rejected_token_logps - pairs.reference_rejected_token_logps
        reward_chosen = self.beta * self._summed(ratio_chosen, shared)
        reward_rejected = self.beta * self._summed(ratio_rejected, shared)
        losses = -F.logsigmoid(reward_chosen - reward_rejected)
        return LossOutput(losses, metrics=reward_metrics(reward_chosen, reward_rejected))

    def _summed(self, ratios: Tensor, shared: Tensor) -> Tensor:
        """Return [pair, time] -> [pair] sums in which the tokens from place `shared` on weigh `ld_alpha`."""
        is_shared = torch.arange(ratios.shape[1], device=ratios.device) < shared[:, None]
        return torch.where(is_shared, ratios, self.ld_alpha * ratios).sum(-1)
