"""Applying a tuner to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from swift_core.contracts.handover import RunPlan


def apply_tuner(plan: RunPlan, tuner: Any, model: PreTrainedModel) -> PreTrainedModel:
    """Return `model` with `tuner` applied; raise SwiftError when the tuner cannot work on it."""
    part = plan.tuner
    try:
        prepared: PreTrainedModel = tuner.prepare_model(model)
    except ValueError as error:
        place = plan.config.place("train.tuner_kwargs") or plan.config.place(part.key)
        message = f"tuner {part.plugin.name!r} cannot be applied to this model: {error}"
        next_step = part.plugin.info_command
        raise SwiftError(Problem("tuner-failed", message, place, next_step)) from error
    return prepared
