"""DPO with a length penalty (R-DPO): the reward that is optimised costs `alpha` per token.

    loss = -log sigmoid(beta * (d_c - d_r) + alpha * (|y_c| - |y_r|))

pi and ref are summed completion log-probabilities in nats, c chosen and r rejected, d = pi - ref, and |y| completion
lengths in tokens. Park et al., 2024, arXiv:2403.19159. The best policy for the reward r - alpha * |y| has
r = beta * d + alpha * |y| up to a constant, hence the sign: a chosen completion that is longer has part of its margin
already, and is pushed less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_nonnegative, require_positive
from swift_loss_zoo._rewards import log_ratios, reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class RDPO:
    """How far the policy may move, and what a token costs."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    alpha: float = 0.01
    """Reward that each token of a completion costs, >= 0; at 0 the loss is DPO."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)
        require_nonnegative(alpha=self.alpha)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with implicit-reward metrics."""
        ratio_chosen, ratio_rejected = log_ratios(pairs)
        reward_chosen, reward_rejected = self.beta * ratio_chosen, self.beta * ratio_rejected
        margin = reward_chosen - reward_rejected
        longer = (pairs.chosen_lengths - pairs.rejected_lengths).to(margin.dtype)
        losses = -F.logsigmoid(margin + self.alpha * longer)
        return LossOutput(losses, metrics=reward_metrics(reward_chosen, reward_rejected))
