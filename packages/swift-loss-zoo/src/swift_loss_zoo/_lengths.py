"""Completion lengths as divisors, and log-probabilities per token."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.plugin_api import PairOutputs


def mean_logps(pairs: PairOutputs) -> tuple[Tensor, Tensor]:
    """Return pi / |y| of the chosen and of the rejected completion, [pair] each, in nats; 0 for an empty one."""
    chosen = pairs.chosen_logps / pairs.chosen_lengths.clamp(min=1)
    rejected = pairs.rejected_logps / pairs.rejected_lengths.clamp(min=1)
    return chosen, rejected


def gold_nll(pairs: PairOutputs, *, normalise: bool) -> Tensor:
    """Return -pi of the gold completion, [pair] in nats, per token when `normalise`; 0 for an empty one."""
    return -pairs.gold_logps / pairs.gold_lengths.clamp(min=1) if normalise else -pairs.gold_logps
