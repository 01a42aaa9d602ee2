"""Identity preference optimisation (IPO): squared distance of the margin from a fixed target.

    loss = ((d_c / |y_c| - d_r / |y_r|) - 1 / (2 * beta))^2

pi and ref are summed completion log-probabilities in nats, c chosen and r rejected, d = pi - ref. Azar et al., 2023,
arXiv:2310.12036, eq. 17, with beta for its tau. The paper writes sums; its authors mean averages over the |y| tokens,
which is the default here. `normalise: false` gives the sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import LossOutput, PairOutputs, require_positive
from swift_loss_zoo._rewards import log_ratios, reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class IPO:
    """How far apart a pair should be, and in what unit."""

    beta: float = 0.1
    """Strength of the regularisation, > 0; the target margin is 1 / (2 * beta)."""

    normalise: bool = True
    """Divide log-ratios by the completion's length."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with implicit-reward metrics."""
        ratio_chosen, ratio_rejected = log_ratios(pairs)
        if self.normalise:
            ratio_chosen = ratio_chosen / pairs.chosen_lengths.clamp(min=1)
            ratio_rejected = ratio_rejected / pairs.rejected_lengths.clamp(min=1)
        losses = (ratio_chosen - ratio_rejected - 1 / (2 * self.beta)) ** 2
        return LossOutput(losses, metrics=reward_metrics(self.beta * ratio_chosen, self.beta * ratio_rejected))
