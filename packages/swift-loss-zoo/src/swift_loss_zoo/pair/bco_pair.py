"""Binary classifier optimisation (BCO) on pairs: chosen is class one, rejected class zero, without a shift.

    loss = -log sigmoid(beta * d_c) - log sigmoid(-beta * d_r)

pi and ref are summed completion log-probabilities in nats, c chosen and r rejected, d = pi - ref. Jung et al., 2024,
arXiv:2404.04656, with the reward shift delta at 0; `bco` on unpaired data keeps its delta.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_positive
from swift_loss_zoo._rewards import log_ratios, reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class BCOPair:
    """How far the policy may move."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with implicit-reward metrics."""
        ratio_chosen, ratio_rejected = log_ratios(pairs)
        losses = -F.logsigmoid(self.beta * ratio_chosen) - F.logsigmoid(-self.beta * ratio_rejected)
        return LossOutput(losses, metrics=reward_metrics(self.beta * ratio_chosen, self.beta * ratio_rejected))
