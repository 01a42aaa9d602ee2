"""The callbacks of the run file."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from swift_core.assemble.broken_part import failure, named, wrong_return
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import TrainerCallback

    from swift_core.contracts.handover import PartPlan, RunPlan


def build_callbacks(plan: RunPlan) -> list[TrainerCallback]:
    """Return the callbacks of `plan`, in its order; raise SwiftError for every part that is no TrainerCallback."""
    from transformers import TrainerCallback

    callbacks: list[TrainerCallback] = []
    problems = []
    for part in plan.callbacks:
        callback = plan.create(part)
        if isinstance(callback, TrainerCallback):
            callbacks.append(held(plan, part, callback))
            continue
        message = f"{named(part)} must be a transformers.TrainerCallback, got {type(callback).__name__}."
        next_step = part.plugin.info_command
        problems.append(Problem("broken-plugin", message, plan.config.place(part.key), next_step))
    if problems:
        raise SwiftError(problems)
    return callbacks


def held(plan: RunPlan, part: PartPlan, callback: TrainerCallback) -> TrainerCallback:
    """Return `callback`, whose events tell what breaks in them with its wheel and place."""
    from transformers import TrainerCallback

    for name in vars(TrainerCallback):
        if name.startswith("on_") and getattr(type(callback), name) is not getattr(TrainerCallback, name):
            setattr(callback, name, _event(plan, part, name, getattr(callback, name)))
    return callback


def _event(plan: RunPlan, part: PartPlan, name: str, event: Callable[..., Any]) -> Callable[..., Any]:
    import torch
    from transformers import TrainerControl

    @wraps(event)
    def told(*args: Any, **kwargs: Any) -> Any:
        try:
            result = event(*args, **kwargs)
        except (SwiftError, torch.OutOfMemoryError, OSError):  # a full disk is told by who writes checkpoints
            raise
        except Exception as error:  # whatever a stranger's code raises
            raise failure(plan, part, error) from error
        if result is not None and not isinstance(result, TrainerControl):
            raise wrong_return(plan, part, name, "None or its control", result)
        return result

    return told
