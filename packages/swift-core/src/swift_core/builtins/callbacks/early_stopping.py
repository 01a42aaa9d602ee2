"""Early stopping: end a run once a held-out figure stopped getting better, with the best weights put back."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from transformers import TrainerCallback

from swift_core.builtins.callbacks._say import say
from swift_core.builtins.callbacks._weights import (
    Weights,
    checkpoint_file,
    copied,
    load,
    put_,
    save,
    show_kept_weights,
)
from swift_core.errors import Problem, SwiftError

FILE = "early_stopping.safetensors"


class EarlyStopping(TrainerCallback):
    """Stop when a held-out figure stopped getting better, and put the best weights back.

    A copy of the trained weights is held in memory from the best evaluation on, and in each checkpoint. The weights are
    put back however the run ends. List it after `ema`, so that it has the last word.

    Args:
        metric: Held-out figure to watch, with or without `eval_`; one that is measured during training.
        patience: Evaluations in a row without a better figure after which to stop, >= 1.
        min_delta: Least change that counts as better, >= 0, in the figure's unit.
        greater_is_better: Whether a larger figure is better, as for an accuracy.
    """

    puts_weights: ClassVar[bool] = True

    def __init__(
        self,
        *,
        metric: str = "loss",
        patience: int = 3,
        min_delta: float = 0.0,
        greater_is_better: bool = False,
    ) -> None:
        if patience < 1:
            raise ValueError(f"patience must be >= 1, got {patience}")
        if not (min_delta >= 0 and math.isfinite(min_delta)):
            raise ValueError(f"min_delta must be >= 0, got {min_delta}")
        self._metric = metric if metric.startswith("eval_") else f"eval_{metric}"
        self._patience, self._min_delta, self._greater = patience, min_delta, greater_is_better
        self._training = False
        self._best: float | None = None
        self._best_step = self._num_worse = 0
        self._weights: Weights = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **event: Any) -> Any:
        """Refuse a run that is never evaluated; go on from a checkpoint's best, or not if it was stopped there."""
        if args.eval_strategy == "no":
            raise SwiftError(
                Problem(
                    "no-evaluation",
                    f"callback early_stopping watches {self._metric}, and this run evaluates only before and after.",
                    next_step="set train.eval_strategy to steps or epoch",
                )
            )
        self._training = True
        file = checkpoint_file(args, state, FILE)
        if state.global_step and file.exists():
            self._weights, notes = load(file, event["model"])
            self._best, self._best_step = float(notes["best"]), int(notes["step"])
            self._num_worse = int(notes["num_worse"])
            control.should_training_stop = self._num_worse >= self._patience
        return control

    def on_log(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Judge a held-out figure while the weights it was measured on are in the model."""
        if not self._training or self._metric not in event["logs"]:
            return
        value = float(event["logs"][self._metric])
        if self._is_better(value):
            self._best, self._best_step, self._num_worse = value, state.global_step, 0
            self._weights = copied(event["model"])
        else:
            self._num_worse += 1

    def on_evaluate(self, args: Any, state: Any, control: Any, **event: Any) -> Any:
        """Stop when patience ran out; refuse a figure that is not measured, before the first step where it can."""
        if self._metric not in event["metrics"]:
            raise SwiftError(self._not_measured(event["metrics"]))
        if self._training and self._num_worse >= self._patience:
            control.should_training_stop = True
            say(state, f"early_stopping: {self._metric} did not get better in {self._num_worse} evaluations; stopping.")
        return control

    def on_save(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Keep the best weights with the checkpoint."""
        if state.is_world_process_zero and self._best is not None:
            notes = {"best": repr(self._best), "step": str(self._best_step), "num_worse": str(self._num_worse)}
            save(checkpoint_file(args, state, FILE), self._weights, notes)

    def on_train_end(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Put the best weights back."""
        self._training = False
        if self._best is None:
            say(state, f"early_stopping: {self._metric} was never a number; the weights stay those of the last step.")
            return
        show_kept_weights(event["optimizer"])
        put_(event["model"], self._weights)
        text = f"early_stopping: the weights of step {self._best_step} are back, {self._metric} {self._best:.6g}."
        say(state, text)

    def _is_better(self, value: float) -> bool:
        if math.isnan(value):
            return False
        if self._best is None:
            return True
        gain = value - self._best if self._greater else self._best - value
        return gain > self._min_delta

    def _not_measured(self, metrics: dict[str, float]) -> Problem:
        bookkeeping = ("_runtime", "_per_second")
        names = [name for name in metrics if name.startswith("eval_") and not name.endswith(bookkeeping)]
        return Problem(
            "unknown-metric",
            f"callback early_stopping watches {self._metric}; an evaluation during training gives {', '.join(names)}.",
            next_step="give the option metric one of these names, or add a metric on predictions to train.metrics",
        )
