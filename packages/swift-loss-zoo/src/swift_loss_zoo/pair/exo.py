"""Efficient exact optimisation (EXO) for pairs: reverse KL between the policy's and the labels' preference.

    loss = s * (log s - log(1 - e)) + (1 - s) * (log(1 - s) - log e)        s = sigmoid(beta * (d_c - d_r))

pi and ref are summed completion log-probabilities in nats, c chosen and r rejected, d = pi - ref. e smooths the
labels. Ji et al., 2024, arXiv:2402.00856, eq. 16.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_between, require_positive
from swift_loss_zoo._rewards import log_ratios, reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class EXO:
    """How far the policy may move, and how sure the labels are."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    label_smoothing: float = 1e-3
    """Share of preference labels assumed to be flipped, in (0, 0.5); at 0 the loss is infinite."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta, label_smoothing=self.label_smoothing)
        require_between(0.0, 0.5, label_smoothing=self.label_smoothing)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with implicit-reward metrics."""
        ratio_chosen, ratio_rejected = log_ratios(pairs)
        margin = self.beta * (ratio_chosen - ratio_rejected)
        log_kept, log_flipped = F.logsigmoid(margin), F.logsigmoid(-margin)
        kept_term = margin.sigmoid() * (log_kept - math.log1p(-self.label_smoothing))
        flipped_term = (-margin).sigmoid() * (log_flipped - math.log(self.label_smoothing))
        losses = kept_term + flipped_term
        return LossOutput(losses, metrics=reward_metrics(self.beta * ratio_chosen, self.beta * ratio_rejected))
