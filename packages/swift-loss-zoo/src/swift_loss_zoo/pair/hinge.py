"""Hinge loss on the implicit reward margin (SLiC, RSO).

    loss = max(0, 1 - beta * (d_c - d_r))

pi and ref are summed completion log-probabilities in nats, c chosen and r rejected, d = pi - ref. Zhao et al., 2023,
arXiv:2305.10425; Liu et al., 2023, arXiv:2309.06657 (its hinge-norm), with beta for its gamma.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_positive
from swift_loss_zoo._rewards import log_ratios, reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Hinge:
    """How far apart a pair should be."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with implicit-reward metrics."""
        ratio_chosen, ratio_rejected = log_ratios(pairs)
        losses = F.relu(1 - self.beta * (ratio_chosen - ratio_rejected))
        return LossOutput(losses, metrics=reward_metrics(self.beta * ratio_chosen, self.beta * ratio_rejected))
