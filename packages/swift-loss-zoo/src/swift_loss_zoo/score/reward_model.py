"""Reward model: the probability that the chosen answer wins, as a logistic function of the difference of scores.

    loss = -log sigmoid(s_c - s_r - margin) + c * (s_c + s_r)^2

s_c and s_r are the scores of the chosen and the rejected answer. Bradley and Terry, 1952; Ouyang et al., 2022,
arXiv:2203.02155, eq. 1. Margin: Touvron et al., 2023, arXiv:2307.09288, eq. 2. Centring: Eisenstein et al., 2023,
arXiv:2312.09244, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, ScoreOutputs, require_nonnegative
from swift_loss_zoo._rewards import reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModel:
    """Whether scores are kept near zero."""

    center_rewards_coefficient: float = 0.0
    """Weight c of the squared sum of both scores, >= 0; 0.01 is usual, 0 leaves the level of scores open."""

    needs_reference: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_nonnegative(center_rewards_coefficient=self.center_rewards_coefficient)

    def __call__(self, outputs: ScoreOutputs) -> LossOutput:
        """Return one loss per pair, with the metrics of rewards."""
        chosen, rejected = outputs.chosen_scores, outputs.rejected_scores
        losses = -F.logsigmoid(chosen - rejected - outputs.margins)
        losses = losses + self.center_rewards_coefficient * (chosen + rejected) ** 2
        return LossOutput(losses, metrics=reward_metrics(chosen, rejected))
