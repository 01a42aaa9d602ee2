"""Length-normalised DPO: the implicit reward is a mean over tokens.

    loss = -log sigmoid(beta * (d_c / |y_c| - d_r / |y_r|))

pi and ref are summed completion log-probabilities in nats, c chosen and r rejected, d = pi - ref, and |y| completion
lengths in tokens. Lambert et al., 2024, arXiv:2411.15124 (Tulu 3), after an ablation of SimPO, arXiv:2405.14734.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_positive
from swift_loss_zoo._rewards import log_ratios, reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class SigmoidNorm:
    """How far the policy may move."""

    beta: float = 5.0
    """Pull towards the reference model, > 0. It multiplies means over tokens: larger than the beta of DPO."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with implicit-reward metrics; an empty completion has reward 0."""
        ratio_chosen, ratio_rejected = log_ratios(pairs)
        reward_chosen = self.beta * ratio_chosen / pairs.chosen_lengths.clamp(min=1)
        reward_rejected = self.beta * ratio_rejected / pairs.rejected_lengths.clamp(min=1)
        losses = -F.logsigmoid(reward_chosen - reward_rejected)
        return LossOutput(losses, metrics=reward_metrics(reward_chosen, reward_rejected))
