"""Ctrl-C ends a run at a step boundary with a checkpoint."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

if TYPE_CHECKING:
    from collections.abc import Iterator


class Interrupt(TrainerCallback):
    """Asks for a checkpoint and the end of training once a signal came; a second one ends at once."""

    def __init__(self) -> None:
        """Start unasked."""
        self.asked = False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Save and stop when asked."""
        if self.asked:
            control.should_save = True
            control.should_training_stop = True
        return control

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen for Ctrl-C while training runs; only the main thread can."""

        def ask(number: int, frame: Any) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True

        try:
            previous = signal.signal(signal.SIGINT, ask)
        except ValueError:  # not the main thread: signals are the host's business
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)
