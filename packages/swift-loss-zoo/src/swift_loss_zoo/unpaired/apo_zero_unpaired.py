"""Anchored preference optimisation, zero, on labelled completions: each moves against the reference by its label.

    loss = 1 - sigmoid(beta * d)    of a desirable completion
    loss = sigmoid(beta * d)        of an undesirable one

pi and ref are summed completion log-probabilities in nats, d = pi - ref. It is KTO with the KL divergence taken as 0.
D'Oosterlinck et al., 2024, arXiv:2408.06266, the two terms of eq. 7, each on rows of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import LossOutput, UnpairedOutputs, require_positive
from swift_loss_zoo._labels import label_metrics, log_ratio, signs


@dataclass(frozen=True, slots=True, kw_only=True)
class APOZeroUnpaired:
    """How far the policy may move."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)

    def __call__(self, rows: UnpairedOutputs) -> LossOutput:
        """Return one loss per row, with implicit-reward metrics."""
        rewards = self.beta * log_ratio(rows)
        return LossOutput((-signs(rows) * rewards).sigmoid(), metrics=label_metrics(rows, rewards, rewards))
