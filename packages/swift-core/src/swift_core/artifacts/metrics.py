"""The callback that keeps every log event of a run in `metrics.jsonl`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from swift_core.artifacts.metrics_file import METRICS_FILE, forget_after, metrics_line, read_metrics

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MetricsLog", "read_metrics"]


class MetricsLog(TrainerCallback):
    """Append what is logged to `metrics.jsonl`, a line at a time, on the first process only."""

    def __init__(self, directory: Path, *, goes_on: bool = False) -> None:
        """Take the run directory, and whether the run goes on: what is judged before it does was written long ago."""
        self._directory, self._waits = directory, goes_on

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Forget the lines of steps that a resumed run makes again."""
        self._waits = False
        if state.is_world_process_zero and state.global_step > 0:
            forget_after(self._directory, state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write one line and hand it to the system at once: a killed run keeps what it logged."""
        if not state.is_world_process_zero or not logs or self._waits:
            return
        epoch = logs.get("epoch", state.epoch)
        line = metrics_line(logs, step=state.global_step, epoch=epoch, time=time.time())
        with (self._directory / METRICS_FILE).open(
            "a", encoding="utf-8", errors="backslashreplace", newline="\n"
        ) as file:
            file.write(line + "\n")
