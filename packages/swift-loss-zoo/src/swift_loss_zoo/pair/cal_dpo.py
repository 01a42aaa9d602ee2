"""Calibrated DPO (Cal-DPO): DPO, and a target for each implicit reward by itself.

    loss = -log sigmoid(d_c - d_r) + calibration * ((d_c - 1 / (2 * beta))^2 + (d_r + 1 / (2 * beta))^2)

pi and ref are summed completion log-probabilities in nats, c chosen and r rejected, d = pi - ref. Xiao et al., 2024,
arXiv:2412.14516; its `calibration` is 1. beta does not scale the first term.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_nonnegative, require_positive
from swift_loss_zoo._rewards import log_ratios, reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class CalDPO:
    """Where the log-ratios should end, and how strongly they are drawn there."""

    beta: float = 0.1
    """Strength of the regularisation, > 0; the targets of the log-ratios are +-1 / (2 * beta)."""

    calibration: float = 1.0
    """Weight of the squared distances from the targets, >= 0."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)
        require_nonnegative(calibration=self.calibration)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with implicit-reward metrics."""
        ratio_chosen, ratio_rejected = log_ratios(pairs)
        target = 1 / (2 * self.beta)
        distance = (ratio_chosen - target) ** 2 + (ratio_rejected + target) ** 2
        losses = -F.logsigmoid(ratio_chosen - ratio_rejected) + self.calibration * distance
        return LossOutput(losses, metrics=reward_metrics(self.beta * ratio_chosen, self.beta * ratio_rejected))
