"""Contrastive preference optimisation (CPO): DPO against a uniform reference, and the likelihood of the chosen one.

    loss = -log sigmoid(beta * (pi_c - pi_r)) - alpha * pi_c        (preference: sigmoid)
    loss = max(0, 1 - beta * (pi_c - pi_r)) - alpha * pi_c          (preference: hinge)
    loss = (pi_c / |y_c| - pi_r / |y_r| - 1 / (2 * beta))^2 - alpha * pi_c        (preference: ipo)

pi are summed completion log-probabilities in nats, |y| completion lengths in tokens, c chosen and r rejected. Xu et
al., 2024, arXiv:2401.08417, whose loss is the first and whose alpha is 1. `normalise: true` divides the likelihood by
the completion's length. Label smoothing as in cDPO, hinge and IPO are TRL's additions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from swift_core.plugin_api import LossOutput, PairOutputs, require_between, require_nonnegative, require_positive
from swift_loss_zoo._preferences import preference_losses, require_smoothable
from swift_loss_zoo._rewards import reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class CPO:
    """How sharp the comparison is, and how much the likelihood counts beside it."""

    beta: float = 0.1
    """Scale of the log-probabilities that are compared, > 0."""

    alpha: float = 1.0
    """Weight of the chosen completion's negative log-likelihood, >= 0; at 0 this is DPO without a reference."""

    normalise: bool = False
    """Divide the likelihood term by the completion's length."""

    label_smoothing: float = 0.0
    """Share of preference labels assumed to be flipped, in [0, 0.5); of `sigmoid` alone."""

    preference: Literal["sigmoid", "hinge", "ipo"] = "sigmoid"
    """Which loss of the difference is taken."""

    needs_reference: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)
        require_nonnegative(alpha=self.alpha)
        require_between(0.0, 0.5, label_smoothing=self.label_smoothing)
        require_smoothable(self.preference, self.label_smoothing)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair; rewards are beta times log-probabilities."""
        reward_chosen, reward_rejected = self.beta * pairs.chosen_logps, self.beta * pairs.rejected_logps
        preference = preference_losses(pairs, self.preference, self.beta, self.label_smoothing)
        lengths = pairs.chosen_lengths.clamp(min=1) if self.normalise else 1
        losses = preference - self.alpha * pairs.chosen_logps / lengths
        return LossOutput(losses, metrics=reward_metrics(reward_chosen, reward_rejected))
