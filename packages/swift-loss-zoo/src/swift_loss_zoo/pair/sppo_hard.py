"""Self-play preference optimisation (SPPO) with hard labels: each log-ratio to a target of its own.

    loss = (d_c - 1 / (2 * beta))^2 + (d_r + 1 / (2 * beta))^2

pi and ref are summed completion log-probabilities in nats, c chosen and r rejected, d = pi - ref. Wu et al., 2024,
arXiv:2405.00675, with win probabilities 1 and 0 and eta for 1 / beta.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import LossOutput, PairOutputs, require_positive
from swift_loss_zoo._rewards import log_ratios, reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class SPPOHard:
    """How far apart a pair should be."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with implicit-reward metrics."""
        ratio_chosen, ratio_rejected = log_ratios(pairs)
        target = 1 / (2 * self.beta)
        losses = (ratio_chosen - target) ** 2 + (ratio_rejected + target) ** 2
        return LossOutput(losses, metrics=reward_metrics(self.beta * ratio_chosen, self.beta * ratio_rejected))
