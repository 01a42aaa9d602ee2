"""Applying a tuner to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.assemble.broken_part import failure, named, wrong_return
from swift_core.assemble.head import model_class
from swift_core.errors import Problem, SwiftError
from swift_core.plugins.remote_code import may_run

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel, TrainerCallback

    from swift_core.contracts.handover import RunPlan


def check_on_shape(plan: RunPlan, tuner: Any, folder: Path) -> None:
    """Let a tuner look at the shape of the model in `folder`, before rows are encoded and weights are loaded.

    Raises:
        SwiftError: Its options do not fit that model.
    """
    if not hasattr(tuner, "check"):
        return
    import torch
    import transformers

    head = str(plan.procedure.source.declared.get("model_head", "causal_lm"))
    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=may_run(folder))
        with torch.device("meta"):
            model = model_class(head, folder).from_config(config, trust_remote_code=may_run(folder))
    except (OSError, ValueError, KeyError, ImportError):
        return  # loading the model will say what is wrong with it
    try:
        tuner.check(model)
    except ValueError as error:
        raise _unfit(plan, error) from error


def apply_tuner(plan: RunPlan, tuner: Any, model: PreTrainedModel) -> PreTrainedModel:
    """Return `model` with `tuner` applied.

    Raises:
        SwiftError: The tuner cannot work on it, broke, or returned something else than a model.
    """
    import torch

    try:
        prepared = tuner.prepare_model(model)
    except ValueError as error:
        raise _unfit(plan, error) from error
    except (SwiftError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever a stranger's code raises
        raise failure(plan, plan.tuner, error) from error
    if not isinstance(prepared, torch.nn.Module):
        raise wrong_return(plan, plan.tuner, "prepare_model", "a model", prepared)
    adapted: PreTrainedModel = prepared  # type: ignore[assignment]  # peft's models are none of transformers'
    return adapted


def tuner_callbacks(plan: RunPlan, tuner: Any) -> list[TrainerCallback]:
    """Return the callbacks that a tuner brings; raise SwiftError when they are none."""
    from transformers import TrainerCallback

    callbacks = list(tuner.callbacks()) if hasattr(tuner, "callbacks") else []
    for callback in callbacks:
        if not isinstance(callback, TrainerCallback):
            raise wrong_return(plan, plan.tuner, "callbacks", "transformers.TrainerCallbacks", callback)
    return callbacks


def _unfit(plan: RunPlan, error: ValueError) -> SwiftError:
    part = plan.tuner
    place = plan.config.place("train.tuner_kwargs") or plan.config.place(part.key)
    message = f"{named(part)} cannot be applied to this model: {error}"
    return SwiftError(Problem("tuner-failed", message, place, part.plugin.info_command))
