"""The JSON schema of run files on this machine: sections, and the options of every installed plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from swift_core.config.json_schema import sections_schema
from swift_core.errors import SwiftError
from swift_core.plugins.options import read_source
from swift_core.resolve.stage import FAMILY_WORDS, STAGES_OF_LOSSES

if TYPE_CHECKING:
    from swift_core.contracts.plugin import PluginSource, PluginSpec
    from swift_core.plugins.registry import Registry

Schema = dict[str, Any]
NOTHING: Mapping[str, str] = {}

_CHOICES = (
    ("loss", "TrainSettings", "loss_type", ("loss_kwargs", "loss_config")),
    ("optimizer", "TrainSettings", "optimizer_type", ("optimizer_kwargs",)),
    ("scheduler", "TrainSettings", "lr_scheduler_type", ("lr_scheduler_kwargs",)),
    ("tuner", "TrainSettings", "tuner_strategy", ("tuner_kwargs",)),
)
"""Kind, section, key that names the plugin, keys of its options."""

_LISTS = (("callback", "TrainSettings", "callbacks"), ("metric", "TrainSettings", "metrics"),
          ("loss_scale", "TrainSettings", "loss_scale"),
          ("orm", "RewardSettings", "orms"), ("prm", "RewardSettings", "prms"))  # fmt: skip
_NAMES = (("trainer", "TrainSettings", "stage"), ("hub", "ModelSettings", "hub"), ("dataset", "DataSettings", "format"))

_OTHER = {"type": "string", "pattern": ":|^auto$"}
"""`dist:name`, `./file.py:attribute` and `auto`: not listed by name."""


def run_schema(registry: Registry) -> Schema:
    """Return the schema, draft 7; a plugin whose source cannot be read takes any options."""
    schema = sections_schema()
    definitions = schema["definitions"]
    for kind, section, key, options_keys in _CHOICES:
        _choice(definitions[section], registry, kind, key, options_keys)
    for kind, section, key in _LISTS:
        _list(definitions[section]["properties"][key], registry, kind)
    for kind, section, key in _NAMES:
        _name(
            definitions[section]["properties"][key],
            _sources(registry, kind),
            _stage_losses(registry) if kind == "trainer" else NOTHING,
        )
    return schema


def _sources(registry: Registry, kind: str) -> list[tuple[PluginSpec, PluginSource | None]]:
    """Return the plugins of a kind that may be used, each with what its source says (None: unreadable)."""
    found: list[tuple[PluginSpec, PluginSource | None]] = []
    for spec in sorted(registry.specs(kind), key=lambda s: (s.name, s.distribution)):
        if registry.refusal(spec):
            continue
        try:
            found.append((spec, read_source(spec)))
        except SwiftError:
            found.append((spec, None))
    return found


def _stage_losses(registry: Registry) -> dict[str, str]:
    """Return the losses whose names stand for a stage too, each with what its stage is about."""
    found = {}
    for spec, source in _sources(registry, "loss"):
        for family in STAGES_OF_LOSSES:
            if source and family in "".join(source.inputs[:1]):
                found[spec.name] = f"loss on {FAMILY_WORDS[family].removesuffix(' of answers')}"
    return found


def _name(
    option: Schema, sources: list[tuple[PluginSpec, PluginSource | None]], more: Mapping[str, str] = NOTHING
) -> None:
    names = dict(more)
    names |= {spec.name: source.summary if source else "" for spec, source in sources}
    option.pop("type", None)
    option.pop("minLength", None)
    named = [{"const": name, "description": text} if text else {"const": name} for name, text in names.items()]
    option["anyOf"] = [*named, _OTHER]


def _choice(section: Schema, registry: Registry, kind: str, key: str, options_keys: tuple[str, ...]) -> None:
    sources = _sources(registry, kind)
    properties = section["properties"]
    default = properties[key].get("default")
    _name(properties[key], sources)
    for spec, source in _unambiguous(sources):
        condition: Schema = {"properties": {key: {"const": spec.name}}}
        if spec.name != default:
            condition["required"] = [key]
        options = _options(source)
        then = {"properties": dict.fromkeys(options_keys, options)}
        section.setdefault("allOf", []).append({"if": condition, "then": then})


def _list(option: Schema, registry: Registry, kind: str) -> None:
    sources = _sources(registry, kind)
    plain, part = option["items"]["anyOf"]
    plain.pop("minLength", None)
    plain.pop("type", None)
    _name(plain, sources)
    conditions = [
        {"if": {"properties": {"name": {"const": spec.name}}}, "then": {"properties": {"kwargs": _options(source)}}}
        for spec, source in _unambiguous(sources)
    ]
    option["items"]["anyOf"][1] = {"allOf": [part, *conditions]}


def _unambiguous(sources: list[tuple[PluginSpec, PluginSource | None]]) -> list[tuple[PluginSpec, PluginSource]]:
    """Return the readable plugins whose bare name means them."""
    names = [spec.name for spec, _ in sources]
    return [
        (spec, source)
        for spec, source in sources
        if source and source.readable and (names.count(spec.name) == 1 or spec.first_party)
    ]


def _options(source: PluginSource) -> Schema:
    """Return the schema of a plugin's options.

    None is required here: a shorthand such as `train.beta` may give it. The plan checks that.
    """
    properties = {}
    for option in source.options:
        schema = dict(option.schema)
        if option.help:
            schema["description"] = option.help
        if not option.required and option.default is not None:
            schema["default"] = option.default
        properties[option.name] = schema
    return {"type": "object", "description": source.summary, "properties": properties, "additionalProperties": False}
