"""Focal loss on tokens: what the model already knows counts for little.

    loss[i] = -alpha * (1 - p(y[i]))^gamma * log p(y[i])

Lin et al., 2017, arXiv:1708.02002, eq. 5, with each token of the vocabulary as a class and one alpha for all of them.
At gamma 0 and alpha 1 it is cross entropy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from swift_core.plugin_api import LossOutput, TokenOutputs, require_nonnegative, require_positive


@dataclass(frozen=True, slots=True, kw_only=True)
class Focal:
    """How strongly known tokens are discounted."""

    gamma: float = 2.0
    """Power of one minus the token's probability, >= 0."""

    alpha: float = 1.0
    """Weight of every token, > 0. Beside a loss of another kind it sets the balance; alone it scales the loss."""

    needs_reference: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_nonnegative(gamma=self.gamma)
        require_positive(alpha=self.alpha)

    def __call__(self, tokens: TokenOutputs) -> LossOutput:
        """Return one loss per trained token, weighted by the run's loss scale; `nll` is the plain one."""
        logps = tokens.logps
        below_zero = logps.clamp(max=-torch.finfo(logps.dtype).tiny)  # 0^(gamma - 1) has no gradient for gamma < 1
        discount = (-below_zero.expm1()) ** self.gamma
        return LossOutput(-self.alpha * discount * logps, weights=tokens.weights, metrics={"nll": -logps})
