"""DPO with an offset (ODPO): a pair must be as far apart as its answers differ in worth.

    loss = -log sigmoid(beta * (d_c - d_r) - alpha * margin)

pi and ref are summed completion log-probabilities in nats, c chosen and r rejected, d = pi - ref. Amini et al., 2024,
arXiv:2402.10571. `margin` is the data's column of that name: the paper's f(score_c - score_r), which is mostly the
log of a difference of scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_nonnegative, require_positive
from swift_loss_zoo._rewards import log_ratios, reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class ODPO:
    """How far the policy may move, and how much the margin of the data counts."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    alpha: float = 1.0
    """Reward that one unit of the data's margin asks for, >= 0; at 0 the loss is DPO."""

    needs_reference: ClassVar[bool] = True
    needs_columns: ClassVar[tuple[str, ...]] = ("margin",)

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)
        require_nonnegative(alpha=self.alpha)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with implicit-reward metrics and the offset asked for."""
        ratio_chosen, ratio_rejected = log_ratios(pairs)
        reward_chosen, reward_rejected = self.beta * ratio_chosen, self.beta * ratio_rejected
        offset = self.alpha * pairs.margins
        losses = -F.logsigmoid(reward_chosen - reward_rejected - offset)
        return LossOutput(losses, metrics={**reward_metrics(reward_chosen, reward_rejected), "offset": offset})
