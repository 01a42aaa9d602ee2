"""Ctrl-C and SIGTERM end a run at a step boundary with a checkpoint."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ONE_PRESS = 1.0
"""Seconds in which launchers pass on the Ctrl-C that the terminal has sent already."""


class Interrupt(TrainerCallback):
    """Asks for a checkpoint and the end of training once a signal came to any process; all end at the same step.

    A second Ctrl-C ends at once. A second SIGTERM does not: launchers send it to a process and to its group.
    """

    def __init__(self, reduce: Callable[[Tensor], Tensor], world: int = 1) -> None:
        """Take what sums a tensor over processes, and their number."""
        self._reduce, self._world = reduce, world
        self._own: int | None = None
        self._since = 0.0
        self.signal: int | None = None
        """The signal that all processes agreed to end for; SIGTERM when they got different ones."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Save and stop when any process was asked."""
        self.signal = self._agreed(args.device)
        if self.signal is not None:
            control.should_save = True
            control.should_training_stop = True
        return control

    def _agreed(self, device: torch.device) -> int | None:
        if self._world == 1:
            return self._own
        asked = torch.tensor([float(self._own == number) for number in _SIGNALS], device=device)
        counts = self._reduce(asked).tolist()
        return next((int(n) for n, count in reversed(list(zip(_SIGNALS, counts, strict=True))) if count), None)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen while training runs; only the main thread can."""

        def ask(number: int, frame: Any) -> None:
            if self._own == signal.SIGINT == number and time.monotonic() - self._since > self._patience:
                raise KeyboardInterrupt
            if self._own is None:
                self._own, self._since = number, time.monotonic()

        with ExitStack() as stack:
            for number in _SIGNALS:
                try:
                    previous = signal.signal(number, ask)
                except ValueError:  # not the main thread: signals are the host's business
                    break
                stack.callback(signal.signal, number, previous)
            yield

    @property
    def _patience(self) -> float:
        return _ONE_PRESS if self._world > 1 else 0.0
