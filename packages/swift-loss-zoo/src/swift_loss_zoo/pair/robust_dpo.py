"""Robust DPO: an unbiased estimate of the DPO loss under randomly flipped labels.

    loss = ((1 - e) * l(z) - e * l(-z)) / (1 - 2 * e)        l(z) = -log sigmoid(z), z = beta * (d_c - d_r)

pi and ref are summed completion log-probabilities in nats, c chosen and r rejected, d = pi - ref. e is the share of
flipped labels. Chowdhury et al., 2024, arXiv:2403.00409.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_between, require_positive
from swift_loss_zoo._rewards import log_ratios, reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustDPO:
    """How far the policy may move, and how many labels are flipped."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    label_smoothing: float = 0.1
    """Share of preference labels that are flipped, in [0, 0.5)."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)
        require_between(0.0, 0.5, label_smoothing=self.label_smoothing)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with implicit-reward metrics."""
        ratio_chosen, ratio_rejected = log_ratios(pairs)
        margin = self.beta * (ratio_chosen - ratio_rejected)
        kept, flipped = -F.logsigmoid(margin), -F.logsigmoid(-margin)
        share = self.label_smoothing
        losses = ((1 - share) * kept - share * flipped) / (1 - 2 * share)
        return LossOutput(losses, metrics=reward_metrics(self.beta * ratio_chosen, self.beta * ratio_rejected))
