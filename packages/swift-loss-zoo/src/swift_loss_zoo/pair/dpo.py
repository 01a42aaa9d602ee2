"""Direct preference optimisation (DPO): logistic regression on the policy's implicit reward margin.

    loss = -log sigmoid(beta * ((pi_c - ref_c) - (pi_r - ref_r)))

pi and ref are summed completion log-probabilities in nats, c chosen and r rejected. Rafailov et al., 2023,
arXiv:2305.18290, eq. 7. Label smoothing: Mitchell, 2023, "A note on DPO with noisy preferences" (cDPO).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_between, require_positive
from swift_loss_zoo._rewards import log_ratios, reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class DPO:
    """How far the policy may move, and how far to trust the labels."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    label_smoothing: float = 0.0
    """Share of preference labels assumed to be flipped, in [0, 0.5)."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)
        require_between(0.0, 0.5, label_smoothing=self.label_smoothing)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with implicit-reward metrics."""
        ratio_chosen, ratio_rejected = log_ratios(pairs)
        reward_chosen, reward_rejected = self.beta * ratio_chosen, self.beta * ratio_rejected
        margin = reward_chosen - reward_rejected

        kept = -F.logsigmoid(margin)
        flipped = -F.logsigmoid(-margin)
        losses = (1 - self.label_smoothing) * kept + self.label_smoothing * flipped
        return LossOutput(losses, metrics=reward_metrics(reward_chosen, reward_rejected))
