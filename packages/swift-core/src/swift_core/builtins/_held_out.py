"""What schedules that follow a held-out figure have in common."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def figure_of(figures: Mapping[str, float], metric: str) -> float:
    """Return the figure that `metric` names, with or without `eval_`; ValueError when it is not among them."""
    name = metric if metric.startswith("eval_") else f"eval_{metric}"
    if name not in figures:
        raise ValueError(f"it watches {name}, and an evaluation gives {', '.join(sorted(figures))}")
    return float(figures[name])


def is_better(value: float, best: float, *, greater_is_better: bool, threshold: float) -> bool:
    """Say whether `value` beats `best`, NaN at first, by more than `threshold`."""
    gain = value - best if greater_is_better else best - value
    return math.isnan(best) or gain > threshold


def warmed(step: int, num_warmup_steps: int) -> float:
    """Return the share of the peak that a warm-up allows at `step`."""
    return min(step / num_warmup_steps, 1.0) if num_warmup_steps else 1.0
