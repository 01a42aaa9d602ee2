"""What a run shows while it trains: a bar with the time left on a terminal, a line per log event anywhere else."""

from __future__ import annotations

import atexit
import math
import time
from typing import TYPE_CHECKING, Any

from rich import progress as rich_progress
from rich.console import Console
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from swift_core.artifacts.progress_text import log_line, loss_plot

if TYPE_CHECKING:
    from swift_core.contracts.handover import RunPlan


class Progress(TrainerCallback):
    """Shows steps, loss, speed and time left on the error stream; only the first process shows anything."""

    def __init__(self, plan: RunPlan, console: Console | None = None) -> None:
        """Take the plan for its names, and a console other than the error stream when one is given."""
        self._console = console or Console(stderr=True)
        self._title = f"{plan.procedure.plugin.name}, {plan.loss.plugin.name}"
        self._bar: rich_progress.Progress | None = None
        self._losses: list[tuple[int, float]] = []
        self._started, self._first_step = time.monotonic(), 0

    @property
    def _draws(self) -> bool:
        """True where a bar can be drawn over; forced colours do not make a log file a terminal."""
        return self._console.file.isatty() and not self._console.is_dumb_terminal

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the bar and the clock."""
        self._started, self._first_step = time.monotonic(), state.global_step
        if not state.is_world_process_zero or not self._draws:
            return
        self._bar = _bar(self._console)
        self._bar.add_task(self._title, total=state.max_steps, completed=state.global_step, loss="", speed="")
        self._bar.start()
        atexit.register(self.close)  # an error ends training without on_train_end, and the cursor would stay hidden

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=state.global_step, speed=self._speed(state.global_step))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show loss and reward beside the bar; held-out figures, and everything off a terminal, get a line."""
        if not state.is_world_process_zero or not logs:
            return
        loss = logs.get("loss")
        if isinstance(loss, float):
            self._losses.append((state.global_step, loss))
            if self._bar is not None:
                reward = f"  reward {logs['reward']:.4g}" if isinstance(logs.get("reward"), float) else ""
                self._bar.update(self._bar.task_ids[0], loss=f"loss {loss:.4g}{reward}")
                return
        speed = self._speed(state.global_step) if loss is not None else ""
        line = log_line(logs, step=state.global_step, num_steps=state.max_steps, speed=speed)
        if line:
            self._print(line)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Stop the bar; on a terminal, plot the loss."""
        self.close()
        finite = [(step, loss) for step, loss in self._losses if math.isfinite(loss)]
        if state.is_world_process_zero and self._draws and self._console.encoding.startswith("utf") and len(finite) > 1:
            self._print(loss_plot(finite, width=self._console.width))

    def close(self) -> None:
        """Give the terminal back; safe to call at any time, also when training was cut off."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _print(self, text: str) -> None:
        """Print text as it is: figures in brackets are no markup, and long lines are the terminal's to wrap."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _speed(self, step: int) -> str:
        """Return the mean speed so far in steps per second, or seconds per step where steps are slow."""
        done, seconds = step - self._first_step, time.monotonic() - self._started
        if done <= 0 or seconds <= 0:
            return ""
        return f"{done / seconds:.1f} steps/s" if done > seconds else f"{seconds / done:.1f} s/step"


def _bar(console: Console) -> rich_progress.Progress:
    return rich_progress.Progress(
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("{task.fields[loss]}"),
        rich_progress.TextColumn("{task.fields[speed]}"),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TextColumn("left"),
        rich_progress.TimeRemainingColumn(),
        console=console,
    )
