"""Triple preference optimisation (TPO): a pair that is compared without a reference, and a third answer to imitate.

    loss = -log sigmoid(beta * (pi_c - pi_r)) - alpha * pi_g / |y_g|        (preference: sigmoid)

pi are summed completion log-probabilities in nats and |y| completion lengths in tokens; c is the chosen, r the rejected
and g the gold completion, the data's `reference` column. The first term may be another: with `preference: hinge`
max(0, 1 - beta * (pi_c - pi_r)), with `preference: ipo` (pi_c / |y_c| - pi_r / |y_r| - 1 / (2 * beta))^2. Saeidi et
al., 2024, arXiv:2405.16681. The paper writes the last term as a sum; its authors' code, whose beta and alpha are the
defaults here, takes the mean over tokens. `normalise: false` gives the sum. At alpha 0 no gold completion is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from swift_core.plugin_api import LossOutput, PairOutputs, require_between, require_nonnegative, require_positive
from swift_loss_zoo._lengths import gold_nll
from swift_loss_zoo._preferences import preference_losses, require_smoothable
from swift_loss_zoo._rewards import reward_metrics


@dataclass(frozen=True, kw_only=True)
class TPO:
    """How sharp the comparison is, and how much imitation counts beside it.

    It has no slots, because an instance says for itself whether it needs a gold completion.
    """

    beta: float = 0.01
    """Scale of the log-probabilities that are compared, > 0."""

    alpha: float = 1.0
    """Weight of the gold completion's negative log-likelihood, >= 0."""

    normalise: bool = True
    """Divide the likelihood of the gold completion by its length."""

    label_smoothing: float = 0.0
    """Share of preference labels assumed to be flipped, in [0, 0.5); of `sigmoid` alone."""

    preference: Literal["sigmoid", "hinge", "ipo"] = "sigmoid"
    """Which loss of the difference is taken."""

    needs_reference: ClassVar[bool] = False
    needs_columns: ClassVar[tuple[str, ...]] = ("reference",)

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)
        require_nonnegative(alpha=self.alpha)
        require_between(0.0, 0.5, label_smoothing=self.label_smoothing)
        require_smoothable(self.preference, self.label_smoothing)
        if not self.alpha:
            object.__setattr__(self, "needs_columns", ())

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair; rewards are beta times log-probabilities."""
        losses = preference_losses(pairs, self.preference, self.beta, self.label_smoothing)
        metrics = reward_metrics(self.beta * pairs.chosen_logps, self.beta * pairs.rejected_logps)
        if self.alpha:
            nll = gold_nll(pairs, normalise=self.normalise)
            losses, metrics = losses + self.alpha * nll, metrics | {"gold_nll": nll}
        return LossOutput(losses, metrics=metrics)
