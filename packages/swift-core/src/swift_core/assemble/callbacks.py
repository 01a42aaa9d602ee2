"""The callbacks of the run file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from transformers import TrainerCallback

    from swift_core.contracts.handover import RunPlan


def build_callbacks(plan: RunPlan) -> list[TrainerCallback]:
    """Return the callbacks of `plan`, in its order; raise SwiftError for every part that is no TrainerCallback."""
    from transformers import TrainerCallback

    callbacks: list[TrainerCallback] = []
    problems = []
    for part in plan.callbacks:
        callback = plan.create(part)
        if isinstance(callback, TrainerCallback):
            callbacks.append(callback)
            continue
        message = (
            f"callback {part.plugin.name!r} of {part.plugin.distribution} {part.plugin.version} must be a "
            f"transformers.TrainerCallback, got {type(callback).__name__}."
        )
        next_step = part.plugin.info_command
        problems.append(Problem("broken-plugin", message, plan.config.place(part.key), next_step))
    if problems:
        raise SwiftError(problems)
    return callbacks
