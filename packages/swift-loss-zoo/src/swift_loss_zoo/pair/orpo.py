"""ORPO: the likelihood of the chosen completion and the odds ratio against the rejected one, in one stage.

    loss = -pi_c / |y_c| - lambda * log sigmoid(log odds(y_c) - log odds(y_r))
    odds(y) = p / (1 - p)        p = exp(pi / |y|)

pi are summed completion log-probabilities in nats and |y| completion lengths in tokens. Hong et al., 2024,
arXiv:2403.07691, eqs. 4 to 7. `beta` is the paper's lambda. The first term is over the completion, as the paper writes
it; TRL trains the prompt's tokens too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_nonnegative
from swift_loss_zoo._odds import log_odds
from swift_loss_zoo._rewards import reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class ORPO:
    """How much the odds ratio counts beside the likelihood."""

    beta: float = 0.1
    """Weight of the odds-ratio term, >= 0; the paper's lambda."""

    needs_reference: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_nonnegative(beta=self.beta)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair; an empty completion counts as certain."""
        mean_chosen = pairs.chosen_logps / pairs.chosen_lengths.clamp(min=1)
        mean_rejected = pairs.rejected_logps / pairs.rejected_lengths.clamp(min=1)
        odds_chosen, odds_rejected = log_odds(mean_chosen), log_odds(mean_rejected)
        losses = -mean_chosen - self.beta * F.logsigmoid(odds_chosen - odds_rejected)
        return LossOutput(losses, metrics=reward_metrics(odds_chosen, odds_rejected))
