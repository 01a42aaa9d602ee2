"""AlphaPO: SimPO with a bent reward, so that likelihood moves less or more as pairs come apart.

    loss = -log sigmoid(beta * (reward_c - reward_r) - gamma)
    reward_y = (1 - p_y^(-alpha)) / alpha        p_y = exp(pi_y / |y|)

pi are summed completion log-probabilities in nats, |y| completion lengths in tokens, c chosen and r rejected. At
alpha 0 the reward is pi / |y| and the loss is SimPO. Gupta et al., 2025, arXiv:2501.03884.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_nonnegative, require_positive
from swift_loss_zoo._bounded import bounded_expm1
from swift_loss_zoo._lengths import mean_logps
from swift_loss_zoo._rewards import reward_metrics

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class AlphaPO:
    """How the reward is bent, how sharp the comparison is, and the margin it asks for."""

    alpha: float = 0.25
    """Shape of the reward, any number: above 0 unlikely completions are pushed harder, below 0 less hard."""

    beta: float = 2.0
    """Scale of the length-normalised reward, > 0."""

    gamma: float = 1.0
    """Margin in reward that the chosen completion should be ahead by, >= 0."""

    needs_reference: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)
        require_nonnegative(gamma=self.gamma)
        if not math.isfinite(self.alpha):
            raise ValueError(f"alpha must be a finite number, got {self.alpha}")

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair; an empty completion has reward 0."""
        chosen, rejected = mean_logps(pairs)
        reward_chosen, reward_rejected = self.beta * self._bent(chosen), self.beta * self._bent(rejected)
        losses = -F.logsigmoid(reward_chosen - reward_rejected - self.gamma)
        return LossOutput(losses, metrics=reward_metrics(reward_chosen, reward_rejected))

    def _bent(self, means: Tensor) -> Tensor:
        return means if self.alpha == 0 else -bounded_expm1(-self.alpha * means) / self.alpha
