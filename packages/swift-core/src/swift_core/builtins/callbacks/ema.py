"""Exponential moving average of the trained weights.

    average <- d * average + (1 - d) * weights,   after each optimizer step t = 1, 2, ...
    d = min(decay, (1 + t) / (10 + t)) while it ramps up, else decay

Polyak and Juditsky, 1992, "Acceleration of stochastic approximation by averaging"; the ramp is TensorFlow's.
"""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import TrainerCallback

from swift_core.builtins.callbacks._say import say
from swift_core.builtins.callbacks._weights import (
    Weights,
    checkpoint_file,
    copied,
    keeps_other_weights,
    load,
    put_,
    save,
    trained,
)
from swift_core.errors import Problem, SwiftError

FILE = "ema.safetensors"


class EMA(TrainerCallback):
    """Average the trained weights over the run; held-out figures and the final model are the average's.

    Training goes on from the weights themselves. The average is kept in float32, four bytes a trained parameter, and in
    each checkpoint.

    Args:
        decay: Share of the average that a step keeps, in (0, 1).
        ramps_up: Whether the decay starts small, so that the first weights are soon forgotten.
    """

    puts_weights: ClassVar[bool] = True

    def __init__(self, *, decay: float = 0.999, ramps_up: bool = True) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"decay must be in (0, 1), got {decay}")
        self._decay, self._ramps_up = decay, ramps_up
        self._average: Weights = {}
        self._raw: Weights = {}
        self._num_updates = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Start from the present weights, or from a checkpoint's average."""
        if keeps_other_weights(event["optimizer"]):
            raise SwiftError(
                Problem(
                    "wrong-placement",
                    "callback ema averages weights, and this optimizer keeps an average of its own.",
                    next_step="remove ema from train.callbacks, or choose another train.optimizer_type",
                )
            )
        file = checkpoint_file(args, state, FILE)
        if state.global_step and file.exists():
            self._average, notes = load(file, event["model"])
            self._num_updates = int(notes["num_updates"])
            return
        self._average = {name: tensor.float() for name, tensor in copied(event["model"]).items()}
        if state.global_step:
            say(state, f"ema: {file.parent.name} has no average; it starts from the weights of that checkpoint.")

    def on_step_end(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Take the new weights into the average, and show it to an evaluation of this step."""
        self._num_updates += 1
        keep = min(self._decay, (1 + self._num_updates) / (10 + self._num_updates)) if self._ramps_up else self._decay
        for name, weights in trained(event["model"]).items():
            self._average[name].lerp_(weights.float(), 1 - keep)
        self._show_to_evaluation(control, event["model"])

    def on_epoch_end(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Show the average to an evaluation at the end of an epoch."""
        self._show_to_evaluation(control, event["model"])

    def on_evaluate(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Give training its own weights back."""
        if self._raw:
            put_(event["model"], self._raw)
            self._raw = {}

    def on_save(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Keep the average with the checkpoint."""
        if state.is_world_process_zero:
            save(checkpoint_file(args, state, FILE), self._average, {"num_updates": str(self._num_updates)})

    def on_train_end(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Leave the average in the model."""
        put_(event["model"], self._average)
        say(state, f"ema: the model is now the average over {self._num_updates} steps.")

    def _show_to_evaluation(self, control: Any, model: Any) -> None:
        if control.should_evaluate and not self._raw:
            self._raw = copied(model)
            put_(model, self._average)
