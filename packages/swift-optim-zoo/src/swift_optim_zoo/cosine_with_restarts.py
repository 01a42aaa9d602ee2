"""Cosine with warm restarts: several half cosines, each from the peak to a floor.

    warm-up   step / num_warmup_steps
    after     floor + (1 - floor) * (1 + cos(pi * x)) / 2,  x = the fraction of num_cycles * progress
    cycle k, from 0, is cycle_decay^k as high above the floor as the first

Loshchilov and Hutter, 2017, arXiv:1608.03983, eq. 5, with cycles of equal length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from swift_optim_zoo._checks import require_integer
from swift_optim_zoo._schedule import warmed_up

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineWithRestarts:
    """Warm up, then fall along half a cosine again and again."""

    num_cycles: int = 2
    """Half cosines in the run, >= 1."""

    min_lr_ratio: float = 0.0
    """Share of the peak learning rate at the end of each cycle, in [0, 1]."""

    cycle_decay: float = 1.0
    """Height of each cycle above the floor over that of the one before, in (0, 1]."""

    def __post_init__(self) -> None:
        require_integer(1, num_cycles=self.num_cycles)
        if not 0 <= self.min_lr_ratio <= 1:
            raise ValueError(f"min_lr_ratio must be in [0, 1], got {self.min_lr_ratio}")
        if not 0 < self.cycle_decay <= 1:
            raise ValueError(f"cycle_decay must be in (0, 1], got {self.cycle_decay}")

    def __call__(self, optimizer: Optimizer, /, *, num_warmup_steps: int, num_training_steps: int) -> LRScheduler:
        """Build the schedule."""
        after = partial(restarting_cosine, self.num_cycles, self.min_lr_ratio, self.cycle_decay)
        return warmed_up(optimizer, after, num_warmup_steps=num_warmup_steps, num_training_steps=num_training_steps)


def restarting_cosine(num_cycles: int, floor: float, cycle_decay: float, progress: float) -> float:
    """Return the share of the peak rate at `progress`, in [0, 1]; the last step ends the last cycle."""
    cycle = min(int(num_cycles * progress), num_cycles - 1)
    x = num_cycles * progress - cycle
    return floor + (1 - floor) * cycle_decay**cycle * (1 + math.cos(math.pi * x)) / 2
