"""Weights of rewards that change over the optimizer steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swift_core.contracts.settings import WeightSchedule


def weight_at(schedule: WeightSchedule, step: int) -> float:
    """Return the weight for optimizer step `step`, the first of which is 0.

        w(t) = start + (end - start) * f(min(t / steps, 1))

    f(x) is x (`linear`), (1 - cos(pi x)) / 2 (`cosine`), or 0 before x = 1 (`step`).
    """
    share = min(step / schedule.steps, 1.0)
    shapes = {"linear": share, "cosine": (1 - math.cos(math.pi * share)) / 2, "step": float(share == 1.0)}
    return schedule.start + (schedule.end - schedule.start) * shapes[schedule.schedule]
