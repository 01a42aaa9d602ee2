"""Dynamic fine-tuning (DFT): cross entropy weighted by the model's own probability of each token.

    loss[i] = -sg(p(y[i])) * log p(y[i])

sg stops the gradient, so that a token that the model thinks impossible does not get an enormous one. Wu et al., 2025,
arXiv:2508.05629.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import LossOutput, TokenOutputs


@dataclass(frozen=True, slots=True, kw_only=True)
class DFT:
    """Nothing to choose."""

    needs_reference: ClassVar[bool] = False
    stops_gradient: ClassVar[bool] = True

    def __call__(self, tokens: TokenOutputs) -> LossOutput:
        """Return one loss per trained token, weighted by the run's loss scale; `nll` is the plain one."""
        logps = tokens.logps
        return LossOutput(-logps.detach().exp() * logps, weights=tokens.weights, metrics={"nll": -logps})
