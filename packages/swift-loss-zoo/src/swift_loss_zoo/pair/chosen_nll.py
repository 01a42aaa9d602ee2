"""Negative log-likelihood of the chosen completion per token: the `sft` term of mixtures such as MPO and RPO.

    loss = -pi_c / |y_c|

pi_c is the summed log-probability of the chosen completion in nats, |y_c| its length in tokens. Pang et al., 2024,
arXiv:2404.19733 (RPO); Wang et al., 2024, arXiv:2411.10442 (MPO).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import LossOutput, PairOutputs
from swift_loss_zoo._lengths import mean_logps
from swift_loss_zoo._rewards import reward_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenNLL:
    """Nothing to choose; the rejected completion is only looked at for the metrics."""

    needs_reference: ClassVar[bool] = False

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair; rewards are log-probabilities per token. An empty completion scores 0."""
        chosen, rejected = mean_logps(pairs)
        return LossOutput(-chosen, metrics=reward_metrics(chosen, rejected))
