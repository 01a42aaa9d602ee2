"""What some models do to the output head's values before the softmax: a scale, soft-capping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Adjustment:
    """z -> cap * tanh(scale * z / cap), or scale * z without a cap."""

    scale: float = 1.0
    softcap: float = 0.0
    """Bound of soft-capping; 0 is none."""

    @classmethod
    def of(cls, config: Any) -> Adjustment:
        """Return what a model with this text configuration (of transformers) does."""
        scale = 1.0
        if getattr(config, "logits_scaling", None):  # Granite divides
            scale = 1.0 / config.logits_scaling
        elif getattr(config, "logit_scale", None):  # Cohere multiplies
            scale = config.logit_scale
        return cls(scale=scale, softcap=getattr(config, "final_logit_softcapping", None) or 0.0)

    def __call__(self, logits: Tensor) -> Tensor:
        """Return adjusted float32 logits."""
        logits = logits.float()
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.softcap:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        return logits

    def apply_(self, logits: Tensor) -> Tensor:
        """Adjust float32 logits in place."""
        if self.scale != 1.0:
            logits.mul_(self.scale)
        if self.softcap:
            logits.div_(self.softcap).tanh_().mul_(self.softcap)
        return logits

    def slope(self, adjusted: Tensor) -> Tensor | float:
        """Return the derivative of adjusted logits by the head's output."""
        if not self.softcap:
            return self.scale
        return (adjusted / self.softcap).square_().neg_().add_(1.0).mul_(self.scale)
