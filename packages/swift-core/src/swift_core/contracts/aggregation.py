"""The score of an answer from those of its steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

Aggregation = Literal["min", "mean", "product", "last"]
"""The score of an answer from those of its steps."""

_AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "mean": lambda scores: math.fsum(scores) / len(scores),
    "product": math.prod,
    "last": lambda scores: scores[-1],
}


def aggregate_steps(scores: Sequence[float], how: Aggregation = "min") -> float:
    """Return the score of an answer from those of its steps, in their order.

    Product and minimum: Lightman et al., 2023, arXiv:2305.20050, section 2.5.

    Raises:
        ValueError: There is no step, a score is not finite, or `how` is none of min, mean, product and last.
    """
    if how not in _AGGREGATES:
        raise ValueError(f"aggregation must be one of {', '.join(_AGGREGATES)}, got {how!r}")
    if len(scores) == 0:
        raise ValueError("an answer without steps has no score")
    for step, score in enumerate(scores):
        if not math.isfinite(score):
            raise ValueError(f"score of step {step} must be finite, got {score}")
    return float(_AGGREGATES[how](scores))
