"""Perplexity on held-out rows: between how many tokens the model wavers, at trained positions only.

    perplexity = exp(sum of -log p(token | those before) / trained tokens)

Jelinek et al., 1977, "Perplexity: a measure of the difficulty of speech recognition tasks".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.contracts.metric import Predictions

MAX_NATS = 700.0
"""A mean above it counts as this: the perplexity would be no finite number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Perplexity:
    """Exponential of the mean negative log-likelihood of the trained tokens."""

    eats: ClassVar[Literal["predictions"]] = "predictions"

    def preprocess_logits(self, logits: Tensor, labels: Tensor, /) -> Tensor:
        """Return the negative log-likelihood of each trained token in nats, [token], float32."""
        import torch.nn.functional as F

        targets = labels[:, 1:]
        trained = targets != -100
        return F.cross_entropy(logits[:, :-1][trained].float(), targets[trained], reduction="none")

    def compute(self, evaluation: Predictions, /) -> dict[str, float]:
        """Return `perplexity`, >= 1; raise ValueError when no row has a trained token."""
        num_tokens = sum(nats.numel() for nats in evaluation.values)
        if not num_tokens:
            raise ValueError("perplexity needs held-out rows with a trained token")
        total = sum(float(nats.double().sum()) for nats in evaluation.values)
        return {"perplexity": math.exp(min(total / num_tokens, MAX_NATS))}
