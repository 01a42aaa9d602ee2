"""Callbacks: what happens at moments of training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments


class Callback(Protocol):
    """A `swift.callbacks` plugin: a `transformers.TrainerCallback`, built from its options.

    It has any of the events of transformers (`on_train_begin`, `on_step_end`, `on_log`, `on_evaluate`, `on_save`, ...),
    all called as the one below. Callbacks are called in the order of the run file, before core's own log and progress.
    One with a method `attach(trainer)` is given the run's trainer before training begins: its `parts` are all live
    parts of the run, `step_loss` is the mean loss of the present step over all ranks, and `nonfinite.rows()` names its
    rows.
    """

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl | None:
        """React to an optimizer step; return `control`, changed, to stop, save or evaluate."""
