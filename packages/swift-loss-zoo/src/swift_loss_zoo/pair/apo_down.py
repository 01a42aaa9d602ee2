"""Anchored preference optimisation, down: both go down, the rejected one further.

    loss = sigmoid(beta * d_c) + 1 - sigmoid(beta * (d_c - d_r))

pi and ref are summed completion log-probabilities in nats, c chosen and r rejected, d = pi - ref. For data whose
chosen completions are worse than the model's own. D'Oosterlinck et al., 2024, arXiv:2408.06266, eq. 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import LossOutput, PairOutputs, require_positive
from swift_loss_zoo._rewards import log_ratios, reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class APODown:
    """How far the policy may move."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with implicit-reward metrics."""
        ratio_chosen, ratio_rejected = log_ratios(pairs)
        losses = (self.beta * ratio_chosen).sigmoid() + (self.beta * (ratio_rejected - ratio_chosen)).sigmoid()
        return LossOutput(losses, metrics=reward_metrics(self.beta * ratio_chosen, self.beta * ratio_rejected))
