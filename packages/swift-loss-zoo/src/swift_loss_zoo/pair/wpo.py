"""Weighted preference optimisation (WPO): DPO on pairs weighted by how likely the policy itself would write them.

    loss = -w_c * w_r * log sigmoid(beta * (d_c - d_r))
    w_y  = exp(mean over t of (log pi(y_t) - log sum_v pi(v)^2))

pi and ref are summed completion log-probabilities in nats, c chosen and r rejected, d = pi - ref; v runs over the
vocabulary at each place, and no gradient flows through w. Zhou et al., 2024, arXiv:2406.11827, with its sampled
alignment of weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_positive
from swift_loss_zoo._rewards import log_ratios, reward_metrics

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class WPO:
    """How far the policy may move."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    needs_reference: ClassVar[bool] = True
    stops_gradient: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with implicit-reward metrics and the weight; an empty completion weighs 1."""
        ratio_chosen, ratio_rejected = log_ratios(pairs)
        reward_chosen, reward_rejected = self.beta * ratio_chosen, self.beta * ratio_rejected
        chosen = _log_weight(pairs.chosen_token_logps, pairs.chosen_log_sum_p2, pairs.chosen_lengths)
        rejected = _log_weight(pairs.rejected_token_logps, pairs.rejected_log_sum_p2, pairs.rejected_lengths)
        weight = (chosen + rejected).exp()
        losses = -weight * F.logsigmoid(reward_chosen - reward_rejected)
        return LossOutput(losses, metrics={**reward_metrics(reward_chosen, reward_rejected), "pair_weight": weight})


def _log_weight(token_logps: Tensor, log_sum_p2: Tensor, lengths: Tensor) -> Tensor:
    """Return log w of each completion, [pair], without gradient.

    Args:
        token_logps: [pair, time], in nats, 0 past the end.
        log_sum_p2: [pair, time], the log of the sum of squared probabilities, 0 past the end.
        lengths: [pair] tokens.
    """
    return (token_logps.detach() - log_sum_p2.detach()).sum(-1) / lengths.clamp(min=1)
