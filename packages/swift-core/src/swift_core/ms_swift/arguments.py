"""The `args` that ms-swift hands to plugins: the settings of the run under its names, and what the run file adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from swift_core.contracts.handover import PartPlan, RunPlan
    from swift_core.contracts.settings import RunSettings

RENAMED = {
    "model": "model_id",
    "tuner_type": "tuner_strategy",
    "train_type": "tuner_strategy",
    "optimizer": "optimizer_type",
    "metric": "metrics",
    "eval_metric": "metrics",
}
"""A name of ms-swift's arguments -> the key that has the value here."""


def part_arguments(plan: RunPlan, part: PartPlan) -> dict[str, Any]:
    """Return what a part written for ms-swift reads as `args`; nothing for others."""
    return run_arguments(plan.settings) if part.plugin.dialect else {}


def run_arguments(settings: RunSettings) -> dict[str, Any]:
    """Return the settings of a run as plain data by the names that ms-swift and transformers share."""
    rollout = asdict(settings.rollout)
    return {
        **{name: rollout[name] for name in ("num_generations", "temperature", "top_p", "top_k", "num_iterations")},
        **asdict(settings.train),
        "model_id": settings.model.model_id,
        "max_length": settings.data.max_length,
        "system": settings.data.system,
        "output_dir": str(settings.output_dir),
    }


class Arguments:
    """Attributes by the names of ms-swift; one that nobody gives says how to give it."""

    def __init__(self, settings: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        """Take the settings of the run and what the option `arguments` gives, which wins."""
        self.__dict__.update(settings)
        self.__dict__.update({name: settings[key] for name, key in RENAMED.items() if key in settings})
        self.__dict__.update(given)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"args.{name} of ms-swift has no value here; give it as an option of the plugin: "
            f"{{arguments: {{{name}: ...}}}}"
        )


class TrainerView:
    """What a plugin may read of `trainer`: its arguments, its model and its data, where they are known."""

    def __init__(self, args: Arguments, **known: Any) -> None:
        """Take what is known."""
        self.args = args
        self.__dict__.update(known)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        message = f"trainer.{name} of ms-swift is not here: a plugin has {', '.join(map(repr, self.__dict__))} of it."
        raise SwiftError(Problem("ms-swift-absent", message, next_step="take it out of the plugin file"))


def accepted(function: Any, offered: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `offered` that `function` takes by name; all when it ends in `**kwargs`."""
    import inspect

    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(offered)
    names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return {name: value for name, value in offered.items() if name in names}
