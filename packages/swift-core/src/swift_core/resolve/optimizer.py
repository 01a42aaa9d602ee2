"""The optimizer of a run: its name, its options under the names of transformers, its groups, its update in backward."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from swift_core.contracts.handover import RunConfig, ValueOrigin
from swift_core.plugins.options import check_options
from swift_core.resolve.optimizer_names import add_meant_options, optimizer_meant

if TYPE_CHECKING:
    from swift_core.contracts.settings import TrainSettings
    from swift_core.resolve.findings import Findings
    from swift_core.resolve.parts import Looked, PartFinder
    from swift_core.resolve.shorthands import OptionSet


@dataclass(frozen=True, slots=True)
class Shared:
    """An option of optimizers, and the keys of `train` that mean it."""

    option: str
    keys: tuple[str, ...]
    always: bool
    """Fill it from the default of `train` too; otherwise the optimizer's own default stands."""


SHARED = (
    Shared("lr", ("learning_rate",), always=True),
    Shared("weight_decay", ("weight_decay",), always=True),
    Shared("betas", ("adam_beta1", "adam_beta2"), always=False),
    Shared("eps", ("adam_epsilon",), always=False),
)


def fill(findings: Findings, chosen: OptionSet) -> RunConfig:
    """Fill the optimizer's options from `train`, in place; return the config with `train` saying what is used."""
    add_meant_options(findings, chosen)
    config = findings.config
    for shared in SHARED:
        if shared.option in chosen.options:
            config = _from_options(findings, config, chosen, shared)
        elif chosen.looked.has_option(shared.option):
            _from_train(config, chosen, shared)
        else:
            _refuse_unused(findings, chosen, shared)
    return config


def _written(config: RunConfig, shared: Shared) -> list[str]:
    return [f"train.{key}" for key in shared.keys if f"train.{key}" in config.origins]


def _from_train(config: RunConfig, chosen: OptionSet, shared: Shared) -> None:
    written = _written(config, shared)
    if not written and not shared.always:
        return
    values = [getattr(config.settings.train, key) for key in shared.keys]
    chosen.options[shared.option] = values[0] if len(values) == 1 else values
    chosen.origins[shared.option] = _origin(config, shared, written)


def _origin(config: RunConfig, shared: Shared, written: list[str]) -> ValueOrigin:
    if not written:
        return ValueOrigin("default", note=f"from train.{shared.keys[0]}")
    first = config.origins[written[0]]
    return ValueOrigin(first.kind, first.place, f"from {' and '.join(written)}")


def _from_options(findings: Findings, config: RunConfig, chosen: OptionSet, shared: Shared) -> RunConfig:
    """Let `train` show the value that stands in `optimizer_kwargs`; where both are given, the command line wins."""
    full = f"{chosen.key}.{shared.option}"
    long = config.origins.get(full)
    for key in _written(config, shared):
        short = config.origins[key]
        if long is None or short.kind == long.kind:
            message = f"{key} and {full} (at {config.key_places.get(full)}) are one meaning, given twice"
            findings.wrong_key("given-twice", message, key, "keep one of the two")
            return config
        if short.kind == "command line":
            findings.note(f"{key} of the command line wins over {full} of the run file")
            _from_train(config, chosen, shared)
            return config
    return _shown(config, shared, chosen.options[shared.option], long)


def _shown(config: RunConfig, shared: Shared, value: Any, origin: ValueOrigin | None) -> RunConfig:
    values = value if isinstance(value, list) else [value]
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) != len(shared.keys) or len(numbers) != len(values):
        return config  # not what the option takes: its check says so
    values_by_key: dict[str, Any] = dict(zip(shared.keys, map(float, numbers), strict=True))
    train: TrainSettings = replace(config.settings.train, **values_by_key)
    kind, place = (origin.kind, origin.place) if origin else ("chosen", None)
    note = f"from train.optimizer_kwargs.{shared.option}"
    origins = {f"train.{key}": ValueOrigin(kind, place, note) for key in shared.keys}
    return replace(config, settings=replace(config.settings, train=train), origins={**config.origins, **origins})


def _refuse_unused(findings: Findings, chosen: OptionSet, shared: Shared) -> None:
    source = chosen.looked.source
    takes_all = tuple(source.positional[:3]) == ("args", "model", "dataset")
    if not source.readable or takes_all or (not source.options and len(source.inputs) > 1):
        return  # compiled, or the (args, model, dataset) form, which reads `train` itself
    for key in _written(findings.config, shared):
        message = f"{key} would do nothing: the optimizer {chosen.looked.plugin.name!r} has no option {shared.option!r}"
        findings.wrong_key("unused-key", message, key, "remove the key, or choose another optimizer")


def find_optimizer(finder: PartFinder) -> Looked | None:
    """Return the optimizer that `train.optimizer_type` means, or None after keeping what is wrong with it."""
    key = "train.optimizer_type"
    name = optimizer_meant(finder, key, finder.config.settings.train.optimizer_type)
    return finder.look("optimizer", key, name)


def check_groups(findings: Findings, optimizer: Looked) -> None:
    """Keep what is wrong with the options of `train.param_groups`."""
    for index, group in enumerate(findings.config.settings.train.param_groups):
        key = f"train.param_groups.{index}.kwargs"
        for mistake in check_options(optimizer.source, group.kwargs):
            message = f"optimizer {optimizer.plugin.name!r}: {mistake.message}"
            next_step = optimizer.plugin.info_command
            findings.wrong("wrong-option", message, ".".join((key, *mistake.path)), next_step)
        if "lr" in group.kwargs and group.lr_scale != 1.0:
            message = f"train.param_groups.{index} gives both lr_scale and lr"
            findings.wrong_key("given-twice", message, f"train.param_groups.{index}.lr_scale", "keep one of the two")


def check_in_backward(findings: Findings, chosen: OptionSet) -> None:
    """Keep why parameters cannot move in the backward pass, where they are to."""
    settings, optimizer = findings.config.settings, chosen.looked
    train, name = settings.train, optimizer.plugin.name
    is_own = bool(optimizer.declared("updates_in_backward"))
    if not (train.update_in_backward or is_own):
        return
    key = "train.optimizer_type" if is_own else "train.update_in_backward"
    what = f"the optimizer {name!r} updates" if is_own else "train.update_in_backward: true updates"
    if not optimizer.declared("moves_parameters_alone"):
        message = f"{what} one parameter at a time, and the optimizer {name!r} does not say that it can"
        findings.wrong("not-alone", message, key, "choose an optimizer that moves each parameter by itself")
    own_limit = chosen.options.get("max_grad_norm", 0)
    if isinstance(own_limit, (int, float)) and own_limit > 0:
        message = f"{what} before the global norm is known that {chosen.key}.max_grad_norm clips by"
        findings.wrong("not-alone", message, f"{chosen.key}.max_grad_norm", "clip by train.max_grad_norm instead")
    if train.gradient_accumulation_steps > 1:
        message = f"{what} in the backward pass and frees the gradient: there is nothing to accumulate"
        findings.wrong("no-accumulation", message, key, "set train.gradient_accumulation_steps: 1")
    if settings.device.num_processes > 1:
        message = f"{what} before the processes have averaged their gradients"
        findings.wrong("one-process-only", message, key, "set device.num_processes: 1")
    if train.max_grad_norm > 0:
        findings.note(
            f"train.max_grad_norm: {train.max_grad_norm:g} takes a second backward pass a step, which measures the "
            "norm before anything moves; 0 saves it"
        )
