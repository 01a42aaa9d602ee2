"""Noise contrastive alignment (NCA) for pairs: each completion against its own noise.

    loss = l(b * d_c) + 1/2 * l(-b * d_c) + 1/2 * l(-b * d_r)        l(x) = -log sigmoid(x), b = beta

pi and ref are summed completion log-probabilities in nats, c chosen and r rejected, d = pi - ref. The chosen one's
likelihood does not fall as it may under DPO. Chen et al., 2024, arXiv:2402.05369, with two responses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_positive
from swift_loss_zoo._rewards import log_ratios, reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class NCA:
    """How far the policy may move."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with implicit-reward metrics."""
        ratio_chosen, ratio_rejected = log_ratios(pairs)
        reward_chosen, reward_rejected = self.beta * ratio_chosen, self.beta * ratio_rejected
        losses = -F.logsigmoid(reward_chosen) - 0.5 * (F.logsigmoid(-reward_chosen) + F.logsigmoid(-reward_rejected))
        return LossOutput(losses, metrics=reward_metrics(reward_chosen, reward_rejected))
