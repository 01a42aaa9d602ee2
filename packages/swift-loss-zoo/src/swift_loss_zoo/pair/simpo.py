"""SimPO: a margin between length-normalised log-probabilities, without a reference model.

    loss = -log sigmoid(beta * (pi_c / |y_c| - pi_r / |y_r|) - gamma)

pi are summed completion log-probabilities in nats and |y| completion lengths in tokens. Meng et al., 2024,
arXiv:2405.14734, eq. 6. The paper tunes gamma / beta between 0.3 and 0.6 at beta from 2 to 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_nonnegative, require_positive
from swift_loss_zoo._rewards import reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class SimPO:
    """How sharp the comparison is, and the margin it asks for."""

    beta: float = 2.0
    """Scale of the length-normalised reward, > 0."""

    gamma: float = 1.0
    """Margin in reward that the chosen completion should be ahead by, >= 0."""

    needs_reference: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)
        require_nonnegative(gamma=self.gamma)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair; an empty completion has reward 0."""
        reward_chosen = self.beta * pairs.chosen_logps / pairs.chosen_lengths.clamp(min=1)
        reward_rejected = self.beta * pairs.rejected_logps / pairs.rejected_lengths.clamp(min=1)
        margin = reward_chosen - reward_rejected
        losses = -F.logsigmoid(margin - self.gamma)
        return LossOutput(losses, metrics=reward_metrics(reward_chosen, reward_rejected))
