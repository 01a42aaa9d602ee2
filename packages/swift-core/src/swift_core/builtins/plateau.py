"""Reduce on plateau: the learning rate falls by a factor each time a held-out figure stopped getting better.

    lr = peak * warm-up * max(factor ^ falls, min_lr_ratio)

A fall comes with the evaluation after `patience` in a row that were not better than the best by more than `threshold`.
The rule is that of torch's `ReduceLROnPlateau`, with an absolute threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.builtins._held_out import figure_of, is_better, warmed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class ReduceLrOnPlateau:
    """Warm up, stay, and fall whenever a held-out figure stopped getting better; needs evaluations while training."""

    metric: str = "loss"
    """Held-out figure to watch, with or without `eval_`."""

    greater_is_better: bool = False
    """Whether a larger figure is better, as for an accuracy."""

    factor: float = 0.1
    """What the rate is multiplied by at each fall, in (0, 1)."""

    patience: int = 10
    """Evaluations in a row without a better figure that are let pass, >= 0."""

    threshold: float = 1e-4
    """Least change that counts as better, >= 0, in the figure's unit."""

    min_lr_ratio: float = 0.0
    """Share of the peak below which the rate does not fall, in [0, 1]."""

    def __post_init__(self) -> None:
        if not 0 < self.factor < 1:
            raise ValueError(f"factor must be in (0, 1), got {self.factor}")
        if self.patience < 0:
            raise ValueError(f"patience must be >= 0, got {self.patience}")
        if not (self.threshold >= 0 and math.isfinite(self.threshold)):
            raise ValueError(f"threshold must be >= 0, got {self.threshold}")
        if not 0 <= self.min_lr_ratio <= 1:
            raise ValueError(f"min_lr_ratio must be in [0, 1], got {self.min_lr_ratio}")

    def __call__(self, optimizer: Optimizer, /, *, num_warmup_steps: int, num_training_steps: int) -> LRScheduler:
        """Build the schedule."""
        from torch.optim.lr_scheduler import LRScheduler

        rule = self

        class Plateau(LRScheduler):
            """A warm-up and then a share of the peak that held-out figures decide."""

            def __init__(self) -> None:
                self.share, self.best, self.num_worse = 1.0, math.nan, 0
                super().__init__(optimizer)

            def get_lr(self) -> list[Any]:
                warm = warmed(self.last_epoch, num_warmup_steps)
                return [base * warm * self.share for base in self.base_lrs]

            def observe(self, figures: Mapping[str, float]) -> None:
                """Take the figures of an evaluation; ValueError when the one to watch is not among them."""
                self._judge(figure_of(figures, rule.metric))

            def _judge(self, value: float) -> None:
                if is_better(value, self.best, greater_is_better=rule.greater_is_better, threshold=rule.threshold):
                    self.best, self.num_worse = value, 0
                    return
                self.num_worse += 1
                if self.num_worse > rule.patience:
                    self.share = max(self.share * rule.factor, rule.min_lr_ratio)
                    self.num_worse = 0

        return Plateau()
