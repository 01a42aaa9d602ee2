"""A callback: say how long the slowest step since the last line of the log took."""

from __future__ import annotations

import time

from transformers import TrainerCallback


class StepTimer(TrainerCallback):
    """Write the slowest step to the log.

    Args:
        above: Seconds below which nothing is said, >= 0.
    """

    def __init__(self, *, above: float = 0.0) -> None:
        if above < 0:
            raise ValueError(f"above must be >= 0, got {above}")
        self._above, self._slowest, self._began = above, 0.0, 0.0

    def on_step_begin(self, args, state, control, **event) -> None:
        """Look at the clock."""
        self._began = time.monotonic()

    def on_step_end(self, args, state, control, **event) -> None:
        """Look again."""
        self._slowest = max(self._slowest, time.monotonic() - self._began)

    def on_log(self, args, state, control, **event) -> None:
        """Add a figure to the line."""
        if self._slowest > self._above:
            event["logs"]["slowest_step"] = self._slowest
        self._slowest = 0.0
