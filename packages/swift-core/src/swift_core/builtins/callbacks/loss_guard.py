"""Loss guard: stop a run whose training loss has run away, or leave single bad steps out, and name their rows.

    spike: loss - m > max((factor - 1) * |m|, min_rise)

m is the median of the last losses that were no spikes: of logged ones to stop, of every step's to skip.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Any, Literal

from transformers import TrainerCallback

from swift_core.builtins.callbacks._say import say
from swift_core.errors import Problem, SwiftError

NUM_BEFORE = 3
"""Losses before the first that is judged."""


class LossGuard(TrainerCallback):
    """Stop the run, or leave steps out, when the loss jumps far above its running median.

    Spikes are not taken into the median. A loss that is no finite number is dealt with in any run, with or without
    this: `train.on_nonfinite`.

    Args:
        factor: A loss above this many times the median is a spike, > 1.
        patience: Spikes in a row that stop the run, >= 1: logged losses, or with `action: skip` steps.
        window: Losses in the running median, >= 3.
        min_rise: Rise over the median, in the loss's unit, below which nothing is a spike, >= 0.
        action: `stop` judges what is logged; `skip` judges every step and takes none that is a spike.
    """

    def __init__(
        self,
        *,
        factor: float = 3.0,
        patience: int = 3,
        window: int = 20,
        min_rise: float = 0.1,
        action: Literal["stop", "skip"] = "stop",
    ) -> None:
        if not factor > 1:
            raise ValueError(f"factor must be > 1, got {factor}")
        if patience < 1:
            raise ValueError(f"patience must be >= 1, got {patience}")
        if window < NUM_BEFORE:
            raise ValueError(f"window must be >= {NUM_BEFORE}, got {window}")
        if not min_rise >= 0:
            raise ValueError(f"min_rise must be >= 0, got {min_rise}")
        self._factor, self._patience, self._min_rise = factor, patience, min_rise
        self._skips = action == "skip"
        self._calm: deque[float] = deque(maxlen=window)
        self._spikes: list[tuple[int, float, str]] = []
        self._worst: tuple[int, float, str] | None = None
        self._trainer: Any = None

    def attach(self, trainer: Any) -> None:
        """Take the trainer; refuse to skip steps that are taken inside the backward pass."""
        self._trainer = trainer
        plan = trainer.parts.plan
        inside = plan.settings.train.update_in_backward or plan.optimizer.source.declared.get("updates_in_backward")
        if self._skips and (inside or plan.parallel.is_zero):
            message = "callback loss_guard cannot skip a step here: weights move in the backward pass already."
            place = plan.config.place("train.callbacks")
            raise SwiftError(Problem("wrong-placement", message, place, "write action: stop"))

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Leave a step out that is a spike; stop when too many were in a row."""
        if not self._skips or self._trainer.nonfinite.leaves_out:
            return
        loss, rows = float(self._trainer.step_loss), self._trainer.nonfinite.rows()
        if not self._judge(state.global_step + 1, loss, rows):
            return
        if self._has_run_away:
            raise SwiftError(self._problem())
        self._trainer.nonfinite.leave_out()
        say(state, f"loss_guard: the loss of step {state.global_step + 1} is {loss:.4g}{rows}; the step is left out")

    def on_step_end(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Remember the worst step since the last line of the log."""
        if self._trainer is not None and not self._skips:
            loss = float(self._trainer.step_loss)
            if self._worst is None or loss > self._worst[1]:
                self._worst = state.global_step, loss, self._trainer.nonfinite.rows()

    def on_log(self, args: Any, state: Any, control: Any, **event: Any) -> Any:
        """Judge a logged training loss; ask for the end of training when it has run away."""
        loss = event["logs"].get("loss")
        if loss is None or self._skips:
            return control
        worst, self._worst = self._worst, None
        rows = f", worst in step {worst[0]}{worst[2]}" if worst else ""
        self._judge(state.global_step, float(loss), rows)
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

    def _judge(self, step: int, loss: float, rows: str) -> bool:
        """Take a loss in; say whether it is a spike."""
        if self._is_spike(loss):
            self._spikes.append((step, loss, rows))
            return True
        self._calm.append(loss)
        self._spikes.clear()
        return False

    def _is_spike(self, loss: float) -> bool:
        if len(self._calm) < NUM_BEFORE:
            return False
        middle = median(self._calm)
        return loss - middle > max((self._factor - 1) * abs(middle), self._min_rise)

    def _problem(self) -> Problem:
        losses = "; ".join(f"{loss:.4g} at step {step}{rows}" for step, loss, rows in self._spikes)
        return Problem(
            "loss-spike",
            f"callback loss_guard stopped the run: the loss was {losses}: more than {self._factor:g} times its running "
            f"median {median(self._calm):.4g}.",
            next_step="lower train.learning_rate, look at these rows with swift preview, and go on from a checkpoint "
            "before the first of these steps",
        )
