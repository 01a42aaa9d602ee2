"""Length-controlled triple preference optimisation (TPO-L): TPO on log-probabilities per token, with a margin.

    loss = -log sigmoid(beta * (pi_c / |y_c| - pi_r / |y_r|) - gamma) - alpha * pi_g / |y_g|

pi are summed completion log-probabilities in nats and |y| completion lengths in tokens; c is the chosen, r the rejected
and g the gold completion, the data's `reference` column. Saeidi et al., 2024, arXiv:2405.16681. The last term is a mean
over tokens, as in its authors' code; `normalise: false` gives the sum that the paper writes. At alpha 0 it is SimPO.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import LossOutput, PairOutputs, require_between, require_nonnegative, require_positive
from swift_loss_zoo._lengths import gold_nll, mean_logps
from swift_loss_zoo._preferences import smoothed
from swift_loss_zoo._rewards import reward_metrics


@dataclass(frozen=True, kw_only=True)
class TPOL:
    """How sharp the comparison is, the margin it asks for, and how much imitation counts beside it.

    It has no slots, because an instance says for itself whether it needs a gold completion.
    """

    beta: float = 2.0
    """Scale of the length-normalised reward, > 0."""

    gamma: float = 0.5
    """Margin in reward that the chosen completion should be ahead by, >= 0."""

    alpha: float = 1.0
    """Weight of the gold completion's negative log-likelihood, >= 0."""

    normalise: bool = True
    """Divide the likelihood of the gold completion by its length."""

    label_smoothing: float = 0.0
    """Share of preference labels assumed to be flipped, in [0, 0.5)."""

    needs_reference: ClassVar[bool] = False
    needs_columns: ClassVar[tuple[str, ...]] = ("reference",)

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)
        require_nonnegative(gamma=self.gamma, alpha=self.alpha)
        require_between(0.0, 0.5, label_smoothing=self.label_smoothing)
        if not self.alpha:
            object.__setattr__(self, "needs_columns", ())

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair; an empty completion has reward 0."""
        reward_chosen, reward_rejected = (self.beta * mean for mean in mean_logps(pairs))
        losses = smoothed(reward_chosen - reward_rejected - self.gamma, self.label_smoothing)
        metrics = reward_metrics(reward_chosen, reward_rejected)
        if self.alpha:
            nll = gold_nll(pairs, normalise=self.normalise)
            losses, metrics = losses + self.alpha * nll, metrics | {"gold_nll": nll}
        return LossOutput(losses, metrics=metrics)
