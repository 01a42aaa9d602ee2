"""The optimizer and its schedule."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from swift_core.assemble.broken_part import failure, named, wrong_return
from swift_core.assemble.param_groups import groups_of
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch.optim.lr_scheduler import LRScheduler

    from swift_core.contracts.handover import PartPlan, RunPlan

_TRAINER_FORM = ("args", "model", "dataset")
"""Parameters of the other form of an optimizer plugin, which makes the schedule too."""

_own_schedules: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""Schedules that came with their optimizer, or what makes them when the number of steps is known."""


def build_optimizer(
    plan: RunPlan, model: torch.nn.Module, dataset: Any = None, tuner: Any = None
) -> torch.optim.Optimizer:
    """Return the optimizer of `plan` over what is trained of `model`.

    Args:
        plan: The run.
        model: The model, with the tuner applied.
        dataset: The training rows, for plugins of the form (args, model, dataset).
        tuner: What may have a say on learning rates and decay.

    Raises:
        SwiftError: nothing is trained, or the plugin refuses its options or returns something else.
    """
    part = plan.optimizer
    factory = plan.load(part)
    options: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in part.options.items()
    }
    if _takes_trainer_form(factory):
        with _telling(plan, part):
            made = factory(plan.settings.train, model, dataset, **options)
        optimizer, schedule = _both(plan, made)
        if schedule is not None:
            _own_schedules[optimizer] = schedule
        return optimizer
    groups = groups_of(plan, model, options, tuner)
    if not groups:
        message = f"the tuner {plan.tuner.plugin.name!r} left nothing of the model to train."
        raise SwiftError(Problem("nothing-trained", message, plan.config.place(plan.tuner.key), "choose other modules"))
    with _telling(plan, part):
        optimizer = factory(groups, **options)
    return _checked(plan, optimizer)


@contextmanager
def _telling(plan: RunPlan, part: PartPlan) -> Iterator[None]:
    """Tell what a part refuses, or how it broke, with its place."""
    import torch

    try:
        yield
    except (SwiftError, torch.OutOfMemoryError):
        raise
    except (ValueError, TypeError) as error:
        raise _refused(plan, part, error) from error
    except Exception as error:  # whatever a stranger's code raises
        raise failure(plan, part, error) from error


def _takes_trainer_form(factory: Any) -> bool:
    if inspect.isclass(factory):
        return False
    try:
        names = tuple(inspect.signature(factory).parameters)
    except ValueError:  # a compiled function that does not say how it is called
        return False
    return names[: len(_TRAINER_FORM)] == _TRAINER_FORM


def _both(plan: RunPlan, returned: Any) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise wrong_return(plan, plan.optimizer, "", "a pair (optimizer, scheduler)", returned)
    schedule = returned[1]
    if schedule is not None and not inspect.isfunction(schedule):  # a function makes it once the steps are known
        schedule = _checked_schedule(plan, plan.optimizer, schedule)
    return _checked(plan, returned[0]), schedule


def _checked(plan: RunPlan, optimizer: Any) -> torch.optim.Optimizer:
    import torch

    if not isinstance(optimizer, torch.optim.Optimizer):
        raise wrong_return(plan, plan.optimizer, "", "a torch.optim.Optimizer", optimizer)
    return optimizer


def _refused(plan: RunPlan, part: PartPlan, error: Exception) -> SwiftError:
    place = plan.config.place(f"{part.key.removesuffix('_type')}_kwargs") or plan.config.place(part.key)
    message = f"{named(part)} refuses its options: {error}."
    return SwiftError(Problem("wrong-option", message, place, part.plugin.info_command))


def build_scheduler(
    plan: RunPlan, optimizer: torch.optim.Optimizer, num_warmup_steps: int, num_training_steps: int
) -> LRScheduler:
    """Return the schedule that came with `optimizer`, or else the one of `plan`.

    Args:
        plan: The run.
        optimizer: What `build_optimizer` returned; accelerate's wrapper around it is seen through.
        num_warmup_steps: Optimizer steps of warm-up.
        num_training_steps: Optimizer steps in all.
    """
    inner = getattr(optimizer, "optimizer", optimizer)
    if inner in _own_schedules:
        own = _own_schedules[inner]
        if not inspect.isfunction(own):
            ready: LRScheduler = own
            return ready
        with _telling(plan, plan.optimizer):
            made = own(optimizer, num_warmup_steps=num_warmup_steps, num_training_steps=num_training_steps)
        return _checked_schedule(plan, plan.optimizer, made)
    schedule = plan.create(plan.scheduler)
    with _telling(plan, plan.scheduler):
        built = schedule(optimizer, num_warmup_steps=num_warmup_steps, num_training_steps=num_training_steps)
    return _checked_schedule(plan, plan.scheduler, built)


def _checked_schedule(plan: RunPlan, part: PartPlan, built: Any) -> LRScheduler:
    if not all(hasattr(built, name) for name in ("step", "get_last_lr", "state_dict", "load_state_dict")):
        raise wrong_return(plan, part, "", "a schedule of torch", built)
    schedule: LRScheduler = built
    return schedule
