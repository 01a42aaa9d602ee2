"""Anchored preference optimisation, zero, on labelled completions: each moves against the reference by its label.

    loss = w_d * (1 - sigmoid(beta * d))    of a desirable completion
    loss = w_u * sigmoid(beta * d)          of an undesirable one

pi and ref are summed completion log-probabilities in nats, d = pi - ref. It is KTO with the KL divergence taken as 0.
D'Oosterlinck et al., 2024, arXiv:2408.06266, the two terms of eq. 7, each on rows of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import LossOutput, UnpairedOutputs, require_nonnegative, require_positive
from swift_loss_zoo._labels import label_metrics, log_ratio, signs, weights


@dataclass(frozen=True, slots=True, kw_only=True)
class APOZeroUnpaired:
    """How far the policy may move, and how much each label counts."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    desirable_weight: float = 1.0
    """What a desirable row's loss is multiplied by, >= 0."""

    undesirable_weight: float = 1.0
    """What an undesirable row's loss is multiplied by, >= 0."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)
        require_nonnegative(desirable_weight=self.desirable_weight, undesirable_weight=self.undesirable_weight)

    def __call__(self, rows: UnpairedOutputs) -> LossOutput:
        """Return one loss per row, with implicit-reward metrics."""
        rewards = self.beta * log_ratio(rows)
        losses = (-signs(rows) * rewards).sigmoid()
        losses = weights(rows, self.desirable_weight, self.undesirable_weight) * losses
        return LossOutput(losses, metrics=label_metrics(rows, rewards, rewards))
