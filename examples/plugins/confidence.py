"""A metric: how sure the model is of its likeliest token, at trained positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """Mean probability of the likeliest next token."""

    eats: ClassVar[Literal["predictions"]] = "predictions"

    def preprocess_logits(self, logits, labels, /):
        """Keep one number a trained token: the logits themselves are gone after this."""
        trained = labels[:, 1:] != -100
        return logits[:, :-1][trained].float().softmax(-1).amax(-1)

    def compute(self, evaluation, /) -> dict[str, float]:
        """Return the mean over all held-out rows."""
        total = sum(float(values.sum()) for values in evaluation.values)
        return {"confidence": total / sum(map(len, evaluation.values))}
