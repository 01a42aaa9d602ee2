"""Learning-rate finder: a sweep before training, from a very small rate up to where the loss explodes.

    lr[i] = min_lr * (max_lr / min_lr) ^ (i / (num_steps - 1))
    suggested: where the loss, smoothed, falls fastest over log lr

Smith, 2017, arXiv:1506.01186, section 3.3; taken where the slope is steepest as in Smith, 2018, arXiv:1803.09820.
"""

from __future__ import annotations

import json
import math
import random
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from swift_core.builtins.callbacks._say import say
from swift_core.builtins.callbacks._weights import copied, put_
from swift_core.errors import Problem, SwiftError
from swift_core.train.statistics import kept_random_numbers
from swift_core.train.sweep import Sweep

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FILE = "lr_finder.json"
_KEPT = 0.8
"""Share of the smoothed loss that each step keeps."""


class LrFinder(TrainerCallback):
    """Sweep learning rates before the first step, suggest one, and train as if nothing had been.

    It takes `num_steps` steps on training rows with an optimizer of its own, and puts weights, random numbers and what
    the loss remembers back: the run that follows is the same, bit for bit. Rates and losses are in `lr_finder.json`.

    Args:
        min_lr: First learning rate, > 0.
        max_lr: Last one, > min_lr.
        num_steps: Steps of the sweep, >= 8.
        stop_factor: The sweep ends once the smoothed loss is above this many times its lowest, > 1.
    """

    def __init__(
        self, *, min_lr: float = 1e-7, max_lr: float = 1.0, num_steps: int = 60, stop_factor: float = 4.0
    ) -> None:
        if not 0 < min_lr < max_lr:
            raise ValueError(f"max_lr must be above min_lr and both > 0, got {min_lr} and {max_lr}")
        if num_steps < 8:
            raise ValueError(f"num_steps must be >= 8, got {num_steps}")
        if not stop_factor > 1:
            raise ValueError(f"stop_factor must be > 1, got {stop_factor}")
        ratio = max_lr / min_lr
        self._rates = [min_lr * ratio ** (step / (num_steps - 1)) for step in range(num_steps)]
        self._stop_factor = stop_factor
        self._trainer: Any = None

    def attach(self, trainer: Any) -> None:
        """Take the trainer; refuse a run whose steps cannot be repeated on rows of the data."""
        plan = trainer.parts.plan
        self._trainer = trainer
        reasons = {
            f"stage {plan.procedure.plugin.name!r} trains on answers that it draws": plan.engine is not None,
            "weights move in the backward pass": plan.settings.train.update_in_backward
            or bool(plan.optimizer.source.declared.get("updates_in_backward")),
            f"{plan.parallel.method} shares the weights out": plan.parallel.method not in ("single", "ddp"),
        }
        for reason, holds in reasons.items():
            if holds:
                message = f"callback lr_finder cannot sweep in this run: {reason}."
                place = plan.config.place("train.callbacks")
                raise SwiftError(Problem("wrong-placement", message, place, "remove lr_finder from train.callbacks"))

    def on_train_begin(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Sweep and tell; a run that goes on from a checkpoint is left alone."""
        if state.global_step:
            return
        with _undone(self._trainer):
            losses = self._swept()
        rates = self._rates[: len(losses)]
        suggested = steepest(rates, losses)
        if state.is_world_process_zero:
            found = {"suggested": suggested, "learning_rates": rates, "losses": losses}
            Path(args.output_dir, FILE).write_text(json.dumps(found, indent=1), encoding="utf-8")
        say(state, _words(suggested, rates, losses, args.learning_rate))

    def _swept(self) -> list[float]:
        """Return the loss of each rate, up to the last that is worth trying."""
        losses: list[float] = []
        lowest = smooth = math.inf
        with Sweep(self._trainer) as sweep:
            for rate in self._rates:
                loss = sweep.step(rate)
                if not math.isfinite(loss):
                    break
                losses.append(loss)
                smooth = smoothed(losses)[-1]
                lowest = min(lowest, smooth)
                if smooth > self._stop_factor * lowest and len(losses) > 5:
                    break
        return losses


def smoothed(losses: Sequence[float]) -> list[float]:
    """Return the exponential moving averages, corrected for their start."""
    result, mean = [], 0.0
    for count, loss in enumerate(losses, start=1):
        mean = _KEPT * mean + (1 - _KEPT) * loss
        result.append(mean / (1 - _KEPT**count))
    return result


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Return the rate at which the smoothed loss falls fastest; NaN when it never falls."""
    slopes = [after - before for before, after in pairwise(smoothed(losses))]
    if not slopes or min(slopes) >= 0:
        return math.nan
    return rates[slopes.index(min(slopes))]


def _words(suggested: float, rates: Sequence[float], losses: Sequence[float], present: float) -> str:
    if math.isnan(suggested):
        return f"lr_finder: the loss fell at no rate from {rates[0]:.2g} to {rates[-1]:.2g}; raise max_lr or num_steps."
    lowest = rates[losses.index(min(losses))]
    return (
        f"lr_finder: the loss falls fastest at {suggested:.2g} and is lowest at {lowest:.2g}; "
        f"train.learning_rate is {present:.2g}. {FILE} has the sweep."
    )


@contextmanager
def _undone(trainer: Any) -> Iterator[None]:
    """Put weights, gradients, random numbers and what the loss remembers back after the block."""
    model, loss = trainer.module, trainer.parts.loss
    weights, in_training = copied(model), model.training
    remembered = {name: value.clone() for name, value in loss.state_dict().items()} if _remembers(loss) else {}
    python_numbers = random.getstate()
    try:
        with kept_random_numbers(trainer.args.device):
            yield
    finally:
        random.setstate(python_numbers)
        with torch.no_grad():
            put_(model, weights)
        model.zero_grad()
        model.train(in_training)
        if remembered:
            loss.load_state_dict(remembered)


def _remembers(loss: Any) -> bool:
    return hasattr(loss, "state_dict") and hasattr(loss, "load_state_dict")
