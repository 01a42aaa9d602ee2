"""Alignment by optimal transport (AOT), unpaired: rewards of chosen answers should dominate those of rejected ones.

    loss_i = -(1 - e) * log sigmoid(beta * D_i) - e * log sigmoid(-beta * D_i)
    D = sort(pi_c - ref_c) - sort(pi_r - ref_r)

pi and ref are summed completion log-probabilities in nats, c chosen and r rejected; both sides are sorted over the
pairs of the micro-batch, so that a pair's loss depends on the others. Melnyk et al., 2024, arXiv:2406.05882.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_between, require_positive
from swift_loss_zoo._rewards import log_ratios, reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class AOTUnpaired:
    """How far the policy may move, and how far to trust the labels."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    label_smoothing: float = 0.0
    """Share of preference labels assumed to be flipped, in [0, 0.5)."""

    needs_reference: ClassVar[bool] = True
    couples_items: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)
        require_between(0.0, 0.5, label_smoothing=self.label_smoothing)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per rank of the sorted rewards, and the metrics per pair."""
        ratio_chosen, ratio_rejected = log_ratios(pairs)
        gaps = self.beta * (ratio_chosen.sort().values - ratio_rejected.sort().values)
        kept, flipped = -F.logsigmoid(gaps), -F.logsigmoid(-gaps)
        losses = (1 - self.label_smoothing) * kept + self.label_smoothing * flipped
        return LossOutput(losses, metrics=reward_metrics(self.beta * ratio_chosen, self.beta * ratio_rejected))
