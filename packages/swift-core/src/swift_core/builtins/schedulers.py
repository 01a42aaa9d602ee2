"""Learning-rate schedules: a linear warm-up from 0, then linear, cosine or REX decay, or none.

`step` counts optimizer steps from 0; the factor multiplies each group's own learning rate.

    warm-up   step / num_warmup_steps
    linear    1 - progress
    cosine    min_lr_ratio + (1 - min_lr_ratio) * (1 + cos(pi * progress)) / 2
    rex       min_lr_ratio + (1 - min_lr_ratio) * (1 - progress) / (1 - progress / 2)

progress is (step - num_warmup_steps) / (num_training_steps - num_warmup_steps). Cosine: Loshchilov and Hutter, 2017,
arXiv:1608.03983, eq. 5, without restarts. REX (reflected exponential): Chen et al., 2021, arXiv:2107.04197, section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """Warm up, then fall in a straight line to 0 at the last step."""

    def __call__(self, optimizer: Optimizer, /, *, num_warmup_steps: int, num_training_steps: int) -> LRScheduler:
        """Build the schedule."""
        return _scheduled(optimizer, _falling, num_warmup_steps, num_training_steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine:
    """Warm up, then fall along half a cosine."""

    min_lr_ratio: float = 0.0
    """Share of the peak learning rate that is left at the last step, in [0, 1]."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_lr_ratio <= 1:
            raise ValueError(f"min_lr_ratio must be in [0, 1], got {self.min_lr_ratio}")

    def __call__(self, optimizer: Optimizer, /, *, num_warmup_steps: int, num_training_steps: int) -> LRScheduler:
        """Build the schedule."""
        return _scheduled(optimizer, partial(_cosine, self.min_lr_ratio), num_warmup_steps, num_training_steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rex:
    """Warm up, then fall slowly at first and ever faster: for runs that are short for their task."""

    min_lr_ratio: float = 0.0
    """Share of the peak learning rate that is left at the last step, in [0, 1]."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_lr_ratio <= 1:
            raise ValueError(f"min_lr_ratio must be in [0, 1], got {self.min_lr_ratio}")

    def __call__(self, optimizer: Optimizer, /, *, num_warmup_steps: int, num_training_steps: int) -> LRScheduler:
        """Build the schedule."""
        return _scheduled(optimizer, partial(_rex, self.min_lr_ratio), num_warmup_steps, num_training_steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """Warm up, then stay."""

    def __call__(self, optimizer: Optimizer, /, *, num_warmup_steps: int, num_training_steps: int) -> LRScheduler:
        """Build the schedule."""
        return _scheduled(optimizer, _staying, num_warmup_steps, num_training_steps)


def _falling(progress: float) -> float:
    return 1.0 - progress


def _cosine(floor: float, progress: float) -> float:
    return floor + (1.0 - floor) * (1.0 + math.cos(math.pi * progress)) / 2.0


def _rex(floor: float, progress: float) -> float:
    return floor + (1.0 - floor) * (1.0 - progress) / (1.0 - progress / 2.0)


def _staying(progress: float) -> float:
    return 1.0


def _scheduled(
    optimizer: Optimizer, after: Callable[[float], float], num_warmup_steps: int, num_training_steps: int
) -> LRScheduler:
    from torch.optim.lr_scheduler import LambdaLR

    # A partial and not a closure: checkpoints can then hold the schedule.
    return LambdaLR(optimizer, partial(_factor, after, num_warmup_steps, num_training_steps))


def _factor(after: Callable[[float], float], num_warmup_steps: int, num_training_steps: int, step: int) -> float:
    if step < num_warmup_steps:
        return step / num_warmup_steps
    return after(min((step - num_warmup_steps) / max(num_training_steps - num_warmup_steps, 1), 1.0))
