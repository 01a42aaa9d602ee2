"""Warm-up, stable, decay (WSD): a constant rate that falls only at the end of the run.

    warm-up   step / num_warmup_steps
    stable    1
    decay     floor + (1 - floor) * shape(x),  x from 0 to 1 over the last decay_ratio of the steps after the warm-up

    linear 1 - x          cosine (1 + cos(pi x)) / 2          sqrt 1 - sqrt(x)

Hu et al., 2024, arXiv:2404.06395, sec. 4; the sqrt shape: Haegele et al., 2024, arXiv:2405.18392, eq. 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from swift_optim_zoo._schedule import warmed_up

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

_SHAPES = ("linear", "cosine", "sqrt")


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupStableDecay:
    """Warm up, stay, and fall over the last part of the run."""

    decay_ratio: float = 0.1
    """Share of the steps after the warm-up over which the rate falls, in (0, 1]."""

    decay_type: Literal["linear", "cosine", "sqrt"] = "linear"
    """Shape of the fall; sqrt falls fast at first."""

    min_lr_ratio: float = 0.0
    """Share of the peak learning rate that is left at the last step, in [0, 1]."""

    def __post_init__(self) -> None:
        if not 0 < self.decay_ratio <= 1:
            raise ValueError(f"decay_ratio must be in (0, 1], got {self.decay_ratio}")
        if not 0 <= self.min_lr_ratio <= 1:
            raise ValueError(f"min_lr_ratio must be in [0, 1], got {self.min_lr_ratio}")
        if self.decay_type not in _SHAPES:
            raise ValueError(f"decay_type must be one of {', '.join(_SHAPES)}, got {self.decay_type}")

    def __call__(self, optimizer: Optimizer, /, *, num_warmup_steps: int, num_training_steps: int) -> LRScheduler:
        """Build the schedule."""
        after = partial(stable_then_falling, self.decay_ratio, self.decay_type, self.min_lr_ratio)
        return warmed_up(optimizer, after, num_warmup_steps=num_warmup_steps, num_training_steps=num_training_steps)


def stable_then_falling(decay_ratio: float, decay_type: str, floor: float, progress: float) -> float:
    """Return the share of the peak rate at `progress`, in [0, 1]."""
    x = max(progress - (1 - decay_ratio), 0.0) / decay_ratio
    falling = {"linear": 1 - x, "cosine": (1 + math.cos(math.pi * x)) / 2, "sqrt": 1 - math.sqrt(x)}
    return floor + (1 - floor) * max(falling[decay_type], 0.0)
