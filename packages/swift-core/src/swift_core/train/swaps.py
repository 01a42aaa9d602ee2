"""Putting a part made anew in the place of the old one, with its state, in a way that can be taken back."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from swift_core.assemble.apart import ApartReward, build_metric, runs_apart, start
from swift_core.assemble.callbacks import held
from swift_core.assemble.rewards import AdaptedReward, adapt_apart, adapt_reward
from swift_core.train.ledger import LossCall
from swift_core.train.statistics import Coupling

if TYPE_CHECKING:
    from collections.abc import Callable

    from swift_core.contracts.handover import PartPlan
    from swift_core.train.trainer import SwiftTrainer

Swap = Any
"""Takes effect when called, and returns what takes it back."""

_NEEDS = ("needs_reference", "needs_columns", "needs_mismatched", "advantages")
"""What a loss declares that a run has made before its first step."""

_CALLED = ("reward", "dialect", "asks_truths", "required", "optional", "takes_all", "scope")
"""What of an adapted reward comes from its code."""


def prepared_swap(trainer: SwiftTrainer, old: PartPlan, new: PartPlan) -> Callable[[], Callable[[], None]]:
    """Make a part anew, and return what puts it into the run.

    Raises:
        Exception: It cannot be built, or does not fit a run that has begun.
    """
    make = {"loss": _loss, "metric": _metric, "callback": _callback}.get(old.kind, _reward)
    return make(trainer, old, new)


def carry_state(old: Any, new: Any, options: Any) -> None:
    """Give `new` the state of `old`: by its `state_dict`, else the attributes that both have and no option sets.

    An option that the run file leaves out has the default of the new code.
    """
    if hasattr(old, "state_dict") and hasattr(new, "load_state_dict"):
        new.load_state_dict(old.state_dict())
        return
    settled = {*options, *_option_names(type(new))}
    for name in _attributes(old):
        if name not in settled and hasattr(old, name) and _has_value(new, name):
            object.__setattr__(new, name, getattr(old, name))


def _option_names(made: type) -> list[str]:
    """Return what a constructor takes by keyword alone: the options."""
    parameters = inspect.signature(made).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def _attributes(item: Any) -> list[str]:
    """Return the attributes of an object itself, with or without slots."""
    slots = [name for each in type(item).__mro__ for name in getattr(each, "__slots__", ())]
    return [*getattr(item, "__dict__", {}), *slots]


def _has_value(item: Any, name: str) -> bool:
    """Say whether an object has a value by that name and no method: a dataclass keeps a default in its class."""
    return name in getattr(item, "__dict__", {}) or (hasattr(item, name) and not callable(getattr(item, name)))


def _loss(trainer: SwiftTrainer, old: PartPlan, new: PartPlan) -> Callable[[], Callable[[], None]]:
    parts, before = trainer.parts, trainer.parts.loss
    loss = parts.plan.create(new)
    for name in _NEEDS:
        if getattr(loss, name, None) != getattr(before, name, None):
            raise ValueError(f"it declares another {name}, for which the run would have to begin anew")
    call, coupling = LossCall(loss), Coupling(loss, trainer._reduce)
    carry_state(before, loss, new.options)

    def swap() -> Callable[[], None]:
        kept = (parts.loss, trainer.loss_call, trainer.coupling)
        parts.loss, trainer.loss_call, trainer.coupling = loss, call, coupling

        def undo() -> None:
            parts.loss, trainer.loss_call, trainer.coupling = kept

        return undo

    return swap


def _metric(trainer: SwiftTrainer, old: PartPlan, new: PartPlan) -> Callable[[], Callable[[], None]]:
    parts, index = trainer.parts, trainer.parts.plan.metrics.index(old)
    metric = build_metric(parts.plan, new)
    carry_state(parts.metrics[index][1], metric, new.options)

    def swap() -> Callable[[], None]:
        kept = parts.metrics
        parts.metrics = [*kept[:index], (kept[index][0], metric), *kept[index + 1 :]]

        def undo() -> None:
            parts.metrics = kept

        return undo

    return swap


def _reward(trainer: SwiftTrainer, old: PartPlan, new: PartPlan) -> Callable[[], Callable[[], None]]:
    plan = trainer.parts.plan
    part = trainer.parts.rewards[plan.rewards.index(old)]
    before = cast("AdaptedReward", part.score)
    if runs_apart(plan, new):
        made = adapt_apart(before.name, ApartReward(before.name, start(plan, new)))
    else:
        made = adapt_reward(before.name, plan.create(new))
        carry_state(before.reward, made.reward, new.options)
    score = replace(before, **{name: getattr(made, name) for name in _CALLED})

    def swap() -> Callable[[], None]:
        part.score = cast("Any", score)

        def undo() -> None:
            part.score = cast("Any", before)

        return undo

    return swap


def _callback(trainer: SwiftTrainer, old: PartPlan, new: PartPlan) -> Callable[[], Callable[[], None]]:
    plan = trainer.parts.plan
    of_tuner = len(trainer.parts.callbacks) - len(plan.callbacks)  # a tuner's own callbacks come first
    index = of_tuner + plan.callbacks.index(old)
    before = trainer.parts.callbacks[index]
    callback = plan.create(new)
    carry_state(before, callback, new.options)
    callback = held(plan, new, callback)
    called = trainer.callback_handler.callbacks

    def put(gone: Any, come: Any) -> None:
        called[called.index(gone)] = come
        trainer.parts.callbacks = [come if one is gone else one for one in trainer.parts.callbacks]

    def swap() -> Callable[[], None]:
        put(before, callback)
        return lambda: put(callback, before)

    return swap
