"""The `args` that ms-swift hands to plugins: the settings of the run under its names, and what the run file adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import SimpleNamespace
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


class NoTrainerYetError(SwiftError):
    """A plugin reads its trainer while it is built, before there is one."""


class TrainerView:
    """What a plugin may read of `trainer`: its arguments at once, and the run's trainer from when there is one."""

    def __init__(self, args: Arguments, **known: Any) -> None:
        """Take what is known."""
        self.args = args
        self.__dict__.update(known)

    def attach(self, trainer: Any) -> None:
        """Take the run's trainer, with the names that ms-swift has for its parts."""
        tokenizer = trainer.parts.tokenizer
        self.tokenizer = self.processing_class = tokenizer
        self.template = SimpleNamespace(tokenizer=tokenizer, processor=tokenizer)
        self.custom_metrics = self._custom_metrics = {"train": CustomMetrics(trainer), "eval": CustomMetrics(trainer)}
        self.live = trainer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        live = self.__dict__.get("live")
        if live is not None and hasattr(live, name):
            return getattr(live, name)
        told = ", ".join(repr(known) for known in self.__dict__ if known != "live" and not known.startswith("_"))
        message = f"trainer.{name} of ms-swift is not here: a plugin has {told} of it."
        kind = SwiftError if live is not None else NoTrainerYetError
        raise kind(Problem("ms-swift-absent", message, next_step="take it out of the plugin file"))


class CustomMetrics(dict[str, "CustomMetric"]):
    """Figures that a plugin logs with the loss; each is there when it is first named."""

    def __init__(self, trainer: Any) -> None:
        """Take the trainer that logs them."""
        super().__init__()
        self._trainer = trainer

    def __missing__(self, name: str) -> CustomMetric:
        return self.setdefault(name, CustomMetric(name, self._trainer))


@dataclass(frozen=True, slots=True)
class CustomMetric:
    """A figure that is logged as the mean of what it was given since it was last logged."""

    name: str
    trainer: Any

    def update(self, value: Any) -> None:
        """Take a number, or a tensor of numbers; those of an evaluation are left out."""
        import torch

        if self.trainer.model.training:
            numbers = torch.as_tensor(value).detach().float().reshape(-1)
            self.trainer._since_log.add_values({self.name: numbers.to(self.trainer.args.device)})


def accepted(function: Any, offered: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `offered` that `function` takes by name; all when it ends in `**kwargs`."""
    import inspect

    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(offered)
    names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return {name: value for name, value in offered.items() if name in names}
