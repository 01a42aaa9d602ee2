"""DPO-positive (DPOP, Smaug): DPO that may not win by making the chosen completion less likely.

    loss = -log sigmoid(beta * (d_c - d_r - penalty * max(0, -d_c)))

pi and ref are summed completion log-probabilities in nats, c chosen and r rejected, d = pi - ref. Pal et al., 2024,
arXiv:2402.13228, with `penalty` for its lambda.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_nonnegative, require_positive
from swift_loss_zoo._rewards import log_ratios, reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class DPOP:
    """How far the policy may move, and what a less likely chosen completion costs."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    penalty: float = 50.0
    """Weight of each nat that the chosen completion falls below the reference, >= 0; the paper's lambda."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)
        require_nonnegative(penalty=self.penalty)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with implicit-reward metrics."""
        ratio_chosen, ratio_rejected = log_ratios(pairs)
        fallen = F.relu(-ratio_chosen)
        losses = -F.logsigmoid(self.beta * (ratio_chosen - ratio_rejected - self.penalty * fallen))
        return LossOutput(losses, metrics=reward_metrics(self.beta * ratio_chosen, self.beta * ratio_rejected))
