"""Options of the optimizer that stand in `train` under the names of transformers, such as `learning_rate`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from swift_core.contracts.handover import RunConfig, ValueOrigin

if TYPE_CHECKING:
    from swift_core.contracts.settings import TrainSettings
    from swift_core.resolve.findings import Findings
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
    if not source.readable or (not source.options and len(source.inputs) > 1):
        return  # compiled, or the (args, model, dataset) form, which reads `train` itself
    for key in _written(findings.config, shared):
        message = f"{key} would do nothing: the optimizer {chosen.looked.plugin.name!r} has no option {shared.option!r}"
        findings.wrong_key("unused-key", message, key, "remove the key, or choose another optimizer")
