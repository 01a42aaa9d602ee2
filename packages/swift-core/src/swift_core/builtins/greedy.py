"""Greedy: the learning rate rises while a held-out figure gets better, and falls when it stops.

    lr = peak * warm-up * share,    share <- share / factor    after `patience` evaluations in a row that were better
                                    share <- share * factor    after `patience` in a row that were not

and one more each, within [min_lr_ratio, max_lr_ratio]. A figure is better when it beats the best by more than
`threshold`. The rule is that of transformers' `GreedyLR`, with bounds as shares of the peak: its own are 1e-3 and 1,
which lie above the learning rates that language models are trained with. Subramanian et al., 2025, arXiv:2512.14527.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.builtins._held_out import figure_of, is_better, warmed
from swift_core.contracts.checks import require_nonnegative, require_positive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class Greedy:
    """Warm up, then rise while a held-out figure gets better and fall when it does not; needs evaluations."""

    metric: str = "loss"
    """Held-out figure to watch, with or without `eval_`."""

    greater_is_better: bool = False
    """Whether a larger figure is better, as for an accuracy."""

    factor: float = 0.95
    """What the rate is multiplied by at a fall and divided by at a rise, in (0, 1)."""

    patience: int = 10
    """Evaluations in a row that are let pass before it moves, >= 0."""

    threshold: float = 1e-6
    """Least change that counts as better, >= 0, in the figure's unit."""

    cooldown: int = 0
    """Evaluations after a fall that count for nothing, >= 0."""

    warmup: int = 0
    """Evaluations after a rise that count for nothing, >= 0."""

    min_lr_ratio: float = 0.01
    """Share of the peak below which the rate does not fall, in [0, 1]."""

    max_lr_ratio: float = 10.0
    """Share of the peak above which it does not rise, >= 1."""

    window_size: int = 1
    """Evaluations whose mean is judged, >= 1; 1 judges each by itself."""

    reset_start: int = 500
    """Falls that are asked for at the floor before it begins anew at the peak, >= 1."""

    def __post_init__(self) -> None:
        if not 0 < self.factor < 1:
            raise ValueError(f"factor must be in (0, 1), got {self.factor}")
        require_nonnegative(
            patience=self.patience, threshold=self.threshold, cooldown=self.cooldown, warmup=self.warmup
        )
        if not 0 <= self.min_lr_ratio <= 1:
            raise ValueError(f"min_lr_ratio must be in [0, 1], got {self.min_lr_ratio}")
        if not (self.max_lr_ratio >= 1 and math.isfinite(self.max_lr_ratio)):
            raise ValueError(f"max_lr_ratio must be >= 1, got {self.max_lr_ratio}")
        require_positive(window_size=self.window_size, reset_start=self.reset_start)

    def __call__(self, optimizer: Optimizer, /, *, num_warmup_steps: int, num_training_steps: int) -> LRScheduler:
        """Build the schedule."""
        from torch.optim.lr_scheduler import LRScheduler

        rule = self

        class Follower(LRScheduler):
            """A warm-up and then a share of the peak that held-out figures decide."""

            def __init__(self) -> None:
                self.share, self.num_resting = 1.0, 0
                self.best, self.recent = math.nan, list[float]()
                self.num_better = self.num_worse = self.num_at_floor = 0
                super().__init__(optimizer)

            def get_lr(self) -> list[Any]:
                warm = warmed(self.last_epoch, num_warmup_steps)
                return [base * warm * self.share for base in self.base_lrs]

            def observe(self, figures: Mapping[str, float]) -> None:
                """Take the figures of an evaluation; ValueError when the one to watch is not among them."""
                self.recent = [*self.recent, figure_of(figures, rule.metric)][-rule.window_size :]
                if self.num_resting:
                    self.num_resting -= 1
                    self.num_better = self.num_worse = 0
                    return
                self._judge(math.fsum(self.recent) / len(self.recent))

            def _judge(self, value: float) -> None:
                if is_better(value, self.best, greater_is_better=rule.greater_is_better, threshold=rule.threshold):
                    self.best, self.num_better, self.num_worse = value, self.num_better + 1, 0
                else:
                    self.num_better, self.num_worse = 0, self.num_worse + 1
                if self.num_better > rule.patience:
                    self._rise()
                elif self.num_worse > rule.patience:
                    self._fall()

            def _rise(self) -> None:
                self.share = min(self.share / rule.factor, rule.max_lr_ratio)
                self.num_better, self.num_resting, self.num_at_floor = 0, rule.warmup, 0

            def _fall(self) -> None:
                self.share = max(self.share * rule.factor, rule.min_lr_ratio)
                self.num_worse, self.num_resting = 0, rule.cooldown
                self.num_at_floor += self.share <= rule.min_lr_ratio
                if self.num_at_floor >= rule.reset_start:
                    self.share = 1.0
                    self._begin_anew()

            def _begin_anew(self) -> None:
                self.best, self.recent = math.nan, []
                self.num_better = self.num_worse = self.num_at_floor = 0

        return Follower()
