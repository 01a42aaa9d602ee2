"""Alignment by optimal transport (AOT), paired: the policy's margins should dominate the reference's as distributions.

    loss_i = -(1 - e) * log sigmoid(beta * D_i) - e * log sigmoid(-beta * D_i)
    D = sort(pi_c - pi_r) - sort(ref_c - ref_r)

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
class AOT:
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
        """Return one loss per rank of the sorted margins, and the metrics per pair."""
        policy = (pairs.chosen_logps - pairs.rejected_logps).sort().values
        reference = (pairs.reference_chosen_logps - pairs.reference_rejected_logps).sort().values
        gaps = self.beta * (policy - reference)
        kept, flipped = -F.logsigmoid(gaps), -F.logsigmoid(-gaps)
        losses = (1 - self.label_smoothing) * kept + self.label_smoothing * flipped
        ratio_chosen, ratio_rejected = log_ratios(pairs)
        return LossOutput(losses, metrics=reward_metrics(self.beta * ratio_chosen, self.beta * ratio_rejected))
