"""Schedules of transformers under their own names and options, for run files that come from there.

Each warms up from 0, but for one that says from where, to the peak in a straight line. `x` is the share of the steps
after the warm-up that is done.

    polynomial           lr_end + (peak - lr_end) * (1 - x) ^ power
    inverse_sqrt         peak / sqrt((step - num_warmup_steps + timescale) / timescale)
    cosine_with_min_lr   floor + (peak - floor) * (1 + cos(2 pi * num_cycles * x)) / 2
    cosine_warmup_with_min_lr   the same, and the warm-up begins at warmup_lr_rate * peak and not at 0
    warmup_stable_decay  the peak, then over the last num_decay_steps a fall to min_lr_ratio * peak

The formulas run in transformers' `optimization.py`; here their options are declared and checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from swift_core.contracts.checks import require_nonnegative, require_positive

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

Shape = Literal["linear", "cosine", "1-sqrt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Polynomial:
    """Warm up, then fall along a power of the steps that are left."""

    lr_end: float = 1e-7
    """Learning rate at the last step, >= 0 and under the peak."""

    power: float = 1.0
    """Exponent, > 0: 1 falls in a straight line, more falls fast at first."""

    def __post_init__(self) -> None:
        require_positive(power=self.power)
        require_nonnegative(lr_end=self.lr_end)

    def __call__(self, optimizer: Optimizer, /, *, num_warmup_steps: int, num_training_steps: int) -> LRScheduler:
        """Build the schedule; raise ValueError when the end is not under the peak."""
        from transformers import get_polynomial_decay_schedule_with_warmup as schedule

        built = schedule(optimizer, num_warmup_steps, num_training_steps, lr_end=self.lr_end, power=self.power)
        return cast("LRScheduler", built)


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseSqrt:
    """Warm up, then fall with the square root of the steps; needs no end."""

    timescale: int = 0
    """Steps after which the rate is 0.71 of the peak, >= 0; 0 takes those of the warm-up, or 10,000 without one."""

    def __post_init__(self) -> None:
        require_nonnegative(timescale=self.timescale)

    def __call__(self, optimizer: Optimizer, /, *, num_warmup_steps: int, num_training_steps: int) -> LRScheduler:
        """Build the schedule."""
        from transformers import get_inverse_sqrt_schedule as schedule

        return cast("LRScheduler", schedule(optimizer, num_warmup_steps, timescale=self.timescale or None))


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineWithMinLr:
    """Warm up, then fall along a cosine to a floor."""

    min_lr: float = 0.0
    """Learning rate of the floor, >= 0; give this or min_lr_rate."""

    min_lr_rate: float = 0.0
    """Floor as a share of the peak, in [0, 1]."""

    num_cycles: float = 0.5
    """Waves of the cosine, > 0; a half only falls."""

    def __post_init__(self) -> None:
        require_positive(num_cycles=self.num_cycles)
        require_nonnegative(min_lr=self.min_lr)
        _require_share("min_lr_rate", self.min_lr_rate)
        if self.min_lr and self.min_lr_rate:
            raise ValueError("min_lr and min_lr_rate both set the floor; give one")

    def __call__(self, optimizer: Optimizer, /, *, num_warmup_steps: int, num_training_steps: int) -> LRScheduler:
        """Build the schedule; raise ValueError when the floor is above the peak."""
        from transformers import get_cosine_with_min_lr_schedule_with_warmup as schedule

        floor = self.floor(optimizer)
        return cast(
            "LRScheduler",
            schedule(optimizer, num_warmup_steps, num_training_steps, self.num_cycles, min_lr_rate=floor),
        )

    def floor(self, optimizer: Optimizer) -> float:
        """Return the floor as a share of the peak; raise ValueError when it is above it."""
        peak: float = optimizer.defaults["lr"]
        if self.min_lr > peak:
            raise ValueError(f"min_lr must be <= the peak {peak}, got {self.min_lr}")
        return self.min_lr_rate or self.min_lr / peak


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineWarmupWithMinLr(CosineWithMinLr):
    """Warm up from a share of the peak, then fall along a cosine to a floor."""

    warmup_lr_rate: float = 0.0
    """Share of the peak at the first step, in [0, 1]; 0 takes one over the steps of the warm-up."""

    def __post_init__(self) -> None:
        CosineWithMinLr.__post_init__(self)
        _require_share("warmup_lr_rate", self.warmup_lr_rate)

    def __call__(self, optimizer: Optimizer, /, *, num_warmup_steps: int, num_training_steps: int) -> LRScheduler:
        """Build the schedule; raise ValueError when the floor is above the peak."""
        from transformers import get_cosine_with_min_lr_schedule_with_warmup_lr_rate as schedule

        built = schedule(
            optimizer,
            num_warmup_steps,
            num_training_steps,
            self.num_cycles,
            min_lr_rate=self.floor(optimizer),
            warmup_lr_rate=self.warmup_lr_rate or None,
        )
        return cast("LRScheduler", built)


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupStableDecay:
    """Warm up, stay, and fall over the last steps; `wsd` is the same by shares of the run."""

    num_decay_steps: int = 0
    """Steps of the fall, >= 0; 0 takes a tenth of the run."""

    warmup_type: Shape = "linear"
    """Shape of the rise."""

    decay_type: Shape = "cosine"
    """Shape of the fall; 1-sqrt falls fast at first."""

    min_lr_ratio: float = 0.0
    """Share of the peak at both ends, in [0, 1]."""

    def __post_init__(self) -> None:
        require_nonnegative(num_decay_steps=self.num_decay_steps)
        _require_share("min_lr_ratio", self.min_lr_ratio)

    def __call__(self, optimizer: Optimizer, /, *, num_warmup_steps: int, num_training_steps: int) -> LRScheduler:
        """Build the schedule; raise ValueError when warm-up and fall do not fit into the run."""
        from transformers import get_wsd_schedule as schedule

        num_decay_steps = self.num_decay_steps or max(num_training_steps // 10, 1)
        if num_warmup_steps + num_decay_steps > num_training_steps:
            raise ValueError(
                f"{num_warmup_steps} steps of warm-up and num_decay_steps {num_decay_steps} "
                f"do not fit into {num_training_steps} steps"
            )
        built = schedule(
            optimizer,
            num_warmup_steps,
            num_decay_steps,
            num_training_steps,
            warmup_type=self.warmup_type,
            decay_type=self.decay_type,
            min_lr_ratio=self.min_lr_ratio,
        )
        return cast("LRScheduler", built)


def _require_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {value}")
