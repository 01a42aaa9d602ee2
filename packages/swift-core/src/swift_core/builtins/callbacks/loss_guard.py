"""Loss guard: stop a run whose training loss has run away, before it burns more hours.

    spike: loss - m > max((factor - 1) * |m|, min_rise)

m is the median of the last logged losses that were no spikes.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Any

from transformers import TrainerCallback

from swift_core.errors import Problem, SwiftError

NUM_BEFORE = 3
"""Logged losses before the first that is judged."""


class LossGuard(TrainerCallback):
    """Stop the run with an error once the logged loss stays far above its running median.

    Spikes are not taken into the median. A loss that is no finite number stops any run, with or without this.

    Args:
        factor: A loss above this many times the median is a spike, > 1.
        patience: Spikes in a row, in logged losses, that stop the run, >= 1.
        window: Logged losses in the running median, >= 3.
        min_rise: Rise over the median, in the loss's unit, below which nothing is a spike, >= 0.
    """

    def __init__(self, *, factor: float = 3.0, patience: int = 3, window: int = 20, min_rise: float = 0.1) -> None:
        if not factor > 1:
            raise ValueError(f"factor must be > 1, got {factor}")
        if patience < 1:
            raise ValueError(f"patience must be >= 1, got {patience}")
        if window < NUM_BEFORE:
            raise ValueError(f"window must be >= {NUM_BEFORE}, got {window}")
        if not min_rise >= 0:
            raise ValueError(f"min_rise must be >= 0, got {min_rise}")
        self._factor, self._patience, self._min_rise = factor, patience, min_rise
        self._calm: deque[float] = deque(maxlen=window)
        self._spikes: list[tuple[int, float]] = []

    def on_log(self, args: Any, state: Any, control: Any, **event: Any) -> Any:
        """Judge a logged training loss; ask for the end of training when it has run away."""
        loss = event["logs"].get("loss")
        if loss is None:
            return control
        if self._is_spike(float(loss)):
            self._spikes.append((state.global_step, float(loss)))
        else:
            self._calm.append(float(loss))
            self._spikes.clear()
        if self._has_run_away:
            control.should_training_stop = True
        return control

    def on_train_end(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Raise what was seen; not earlier, so that the last losses are in the log."""
        if self._has_run_away:
            raise SwiftError(self._problem())

    @property
    def _has_run_away(self) -> bool:
        return len(self._spikes) >= self._patience

    def _is_spike(self, loss: float) -> bool:
        if len(self._calm) < NUM_BEFORE:
            return False
        middle = median(self._calm)
        return loss - middle > max((self._factor - 1) * abs(middle), self._min_rise)

    def _problem(self) -> Problem:
        losses = ", ".join(f"{loss:.4g} at step {step}" for step, loss in self._spikes)
        return Problem(
            "loss-spike",
            f"callback loss_guard stopped the run: the loss was {losses}, more than {self._factor:g} times its running "
            f"median {median(self._calm):.4g}.",
            next_step="lower train.learning_rate, and go on from a checkpoint before the first of these steps",
        )
