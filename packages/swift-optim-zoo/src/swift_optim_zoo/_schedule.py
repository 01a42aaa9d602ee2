"""The warm-up that the schedules of this package share."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


def warmed_up(
    optimizer: Optimizer, after: Callable[[float], float], *, num_warmup_steps: int, num_training_steps: int
) -> LRScheduler:
    """Return a schedule of `optimizer`: in a straight line from 0 to each group's rate, then `after(progress)` of it.

    Args:
        optimizer: What it sets the learning rates of.
        after: From progress in [0, 1] between warm-up and last step to the share of the peak rate.
        num_warmup_steps: Optimizer steps of warm-up.
        num_training_steps: Optimizer steps in all; progress stays at 1 beyond.
    """
    from torch.optim.lr_scheduler import LambdaLR

    # A partial and not a closure: checkpoints can then hold the schedule.
    return LambdaLR(optimizer, partial(_factor, after, num_warmup_steps, num_training_steps))


def _factor(after: Callable[[float], float], num_warmup_steps: int, num_training_steps: int, step: int) -> float:
    if step < num_warmup_steps:
        return step / num_warmup_steps
    return after(min((step - num_warmup_steps) / max(num_training_steps - num_warmup_steps, 1), 1.0))
