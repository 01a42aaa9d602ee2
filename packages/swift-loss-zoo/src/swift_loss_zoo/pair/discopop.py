"""DiscoPOP, the loss that a language model found: logistic and exponential, mixed by the margin.

    loss = l(x) * (1 - m) + exp(-x) * m        l(x) = -log sigmoid(x), x = beta * (d_c - d_r), m = sigmoid(x / tau)

pi and ref are summed completion log-probabilities in nats, c chosen and r rejected, d = pi - ref. Lu et al., 2024,
arXiv:2406.08414, eq. 5. exp(-x) * m is formed as exp(log m - x), which stays finite where the factors do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_positive
from swift_loss_zoo._rewards import log_ratios, reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoPOP:
    """How far the policy may move, and how sharply the two losses are mixed."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    tau: float = 0.05
    """Temperature of the mixture, in (0, 1]: above 1 the exponential term would outgrow every float."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta, tau=self.tau)
        if self.tau > 1:
            raise ValueError(f"tau must be <= 1, got {self.tau}")

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with implicit-reward metrics."""
        ratio_chosen, ratio_rejected = log_ratios(pairs)
        margin = self.beta * (ratio_chosen - ratio_rejected)
        logistic = -F.logsigmoid(margin) * (-margin / self.tau).sigmoid()
        exponential = (F.logsigmoid(margin / self.tau) - margin).exp()
        losses = logistic + exponential
        return LossOutput(losses, metrics=reward_metrics(self.beta * ratio_chosen, self.beta * ratio_rejected))
