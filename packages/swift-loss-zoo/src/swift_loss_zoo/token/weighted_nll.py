"""Negative log-likelihood whose token weights are absolute: doubling all of them doubles the loss and its gradient.

    loss[i] = -w[i] * log p(y[i])

w is the run's loss scale. The mean is over trained tokens, where `cross_entropy` divides by the sum of w and so makes
weights relative to each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import LossOutput, TokenOutputs


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedNLL:
    """Nothing to choose."""

    needs_reference: ClassVar[bool] = False

    def __call__(self, tokens: TokenOutputs) -> LossOutput:
        """Return one loss per trained token; `nll` is the unweighted one."""
        logps = tokens.logps
        return LossOutput(-tokens.weights * logps, metrics={"nll": -logps})
