"""Losses of the difference between two log-probabilities, without a reference: logistic, hinge and squared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch.nn.functional as F

from swift_loss_zoo._lengths import mean_logps

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.plugin_api import PairOutputs

Preference = Literal["sigmoid", "hinge", "ipo"]


def require_smoothable(preference: Preference, label_smoothing: float) -> None:
    """Raise ValueError for label smoothing of a loss that has none."""
    if label_smoothing and preference != "sigmoid":
        raise ValueError(f"label_smoothing has no effect with preference: {preference}")


def smoothed(margin: Tensor, label_smoothing: float) -> Tensor:
    """Return -(1 - e) * log sigmoid(margin) - e * log sigmoid(-margin), elementwise."""
    return -(1 - label_smoothing) * F.logsigmoid(margin) - label_smoothing * F.logsigmoid(-margin)


def preference_losses(pairs: PairOutputs, preference: Preference, beta: float, label_smoothing: float) -> Tensor:
    """Return one loss per pair, [pair].

    sigmoid    -log sigmoid(beta * (pi_c - pi_r)), smoothed
    hinge      max(0, 1 - beta * (pi_c - pi_r))
    ipo        (pi_c / |y_c| - pi_r / |y_r| - 1 / (2 * beta))^2
    """
    if preference == "ipo":
        chosen, rejected = mean_logps(pairs)
        return (chosen - rejected - 1 / (2 * beta)) ** 2
    margin = beta * (pairs.chosen_logps - pairs.rejected_logps)
    return F.relu(1 - margin) if preference == "hinge" else smoothed(margin, label_smoothing)
