"""A schedule: warm up, then halve the rate at equal distances."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch.optim.lr_scheduler import LambdaLR


@dataclass(frozen=True, kw_only=True)
class Staircase:
    """Warm up, then go down a few stairs."""

    num_stairs: int = 4
    """Levels, >= 1; each is half of the one before."""

    def __post_init__(self) -> None:
        if self.num_stairs < 1:
            raise ValueError(f"num_stairs must be >= 1, got {self.num_stairs}")

    def __call__(self, optimizer, /, *, num_warmup_steps: int, num_training_steps: int) -> LambdaLR:
        """Build the schedule; a partial can be kept in a checkpoint, a closure could not."""
        return LambdaLR(optimizer, partial(_factor, self.num_stairs, num_warmup_steps, num_training_steps))


def _factor(num_stairs: int, num_warmup_steps: int, num_training_steps: int, step: int) -> float:
    if step < num_warmup_steps:
        return step / num_warmup_steps
    progress = (step - num_warmup_steps) / max(num_training_steps - num_warmup_steps, 1)
    return 0.5 ** min(int(progress * num_stairs), num_stairs - 1)
