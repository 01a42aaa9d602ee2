"""Check given options against a plugin's source: names, types, bounds. All mistakes at once; nothing is imported."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.contracts.plugin import OptionSpec, PluginSource
from swift_core.plugins.policy import did_you_mean

if TYPE_CHECKING:
    from swift_core.plugins.annotations import Schema

_WORDS = {
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "null": "null",
    "array": "a list",
    "object": "a mapping",
}

_TRUTH = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}
"""Strings that other dialects of YAML read as truth values."""


@dataclass(frozen=True, slots=True)
class OptionMistake:
    """One option that is wrong."""

    path: tuple[str, ...]
    """Keys from the options down to the value: `("schedule", "warmup")`, members by index; empty for no one key."""

    message: str
    """What is wrong, as a clause without a full stop: `beta must be a number, got 'high'`."""

    suggestion: str = ""
    """What to write instead, as a sentence: `Did you mean 'beta'?`; often empty."""

    code: str = "wrong-option"
    """`unknown-option`, `missing-option` or `wrong-option`."""


def check_options(source: PluginSource, given: Mapping[str, Any]) -> list[OptionMistake]:
    """Return everything that is wrong with `given`; empty when the constructor's signature takes it."""
    options = {option.name: option for option in source.options}
    mistakes: list[OptionMistake] = []
    for name, value in given.items():
        if name in options:
            mistakes += check_value(options[name].schema, value, (str(name),))
        elif source.readable:
            mistakes.append(_unknown(str(name), options, source))
    if source.readable:
        mistakes += [missing((), option) for option in source.options if option.required and option.name not in given]
    return mistakes


def _unknown(name: str, options: Mapping[str, OptionSpec], source: PluginSource) -> OptionMistake:
    if name in source.positional:
        message = f"{name!r} is a positional parameter of the plugin; only keyword-only ones (after `*`) are options"
        return OptionMistake((name,), message, code="unknown-option")
    return unknown((), name, list(options))


def unknown(path: tuple[str, ...], name: str, known: list[str]) -> OptionMistake:
    """Return the mistake of an option that does not exist."""
    hint = did_you_mean(name, known).strip()
    message = f"there is no option {'.'.join((*path, name))!r}; {_listed(known)}"
    return OptionMistake((*path, name), message, hint, "unknown-option")


def _listed(known: list[str]) -> str:
    if not known:
        return "there are no options"
    return f"{'the option is' if len(known) == 1 else 'the options are'} {', '.join(known)}"


def missing(path: tuple[str, ...], option: OptionSpec) -> OptionMistake:
    """Return the mistake of an option that has no default and is not given."""
    wanted = words(option.schema) if option.schema else option.annotation or "any value"
    name = (*path, option.name)
    return OptionMistake(name, f"the option {'.'.join(name)!r} is required ({wanted})", code="missing-option")


def check_value(schema: Mapping[str, Any], value: Any, path: tuple[str, ...]) -> list[OptionMistake]:
    """Return what is wrong with one value under a schema of `annotations`; the empty schema takes everything."""
    if "anyOf" in schema:
        return _check_any(schema, value, path)
    if "enum" in schema:
        return _check_enum(schema, value, path)
    if "type" in schema and not _is_a(schema["type"], value):
        return [OptionMistake(path, _must_be(path, schema, value), _retype(schema["type"], value))]
    return [*_check_bounds(schema, value, path), *_check_members(schema, value, path)]


def _must_be(path: tuple[str, ...], schema: Mapping[str, Any], value: Any) -> str:
    return f"{'.'.join(path)} must be {words(schema)}, got {shown(value)}"


def _is_a(kind: str, value: Any) -> bool:
    """Say whether a YAML value is of a JSON type; a truth value is no number, and 100.0 is an integer."""
    if kind in ("integer", "number"):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and (kind == "number" or isinstance(value, int) or float(value).is_integer())
    if kind == "array":
        return isinstance(value, list | tuple)
    plain = {"boolean": bool, "string": str, "null": type(None), "object": Mapping}
    return isinstance(value, plain[kind])


def _retype(kind: str, value: Any) -> str:
    """Return how to write a value that was meant well: a number or a truth value in quotes, a list of one."""
    if isinstance(value, str) and kind in ("integer", "number"):
        try:
            number = float(value)
        except ValueError:
            return ""
        return f"Write {value.strip()} without quotes." if math.isfinite(number) else ""
    if isinstance(value, str) and kind == "boolean" and value.lower() in _TRUTH:
        return f"Write {_TRUTH[value.lower()]} without quotes."
    if kind == "string" and isinstance(value, int | float | bool):
        return f"Write {shown(shown(value))} in quotes."
    if kind == "array" and isinstance(value, int | float | str):
        return f"Write [{value}]."
    return ""


def _check_bounds(schema: Mapping[str, Any], value: Any, path: tuple[str, ...]) -> list[OptionMistake]:
    low, above, below = (schema.get(key) for key in ("minimum", "exclusiveMinimum", "exclusiveMaximum"))
    if low is not None and below is not None:
        holds, wanted = low <= value < below, f"in [{low:g}, {below:g})"
    elif low is not None:
        holds, wanted = low <= value < math.inf, f">= {low:g}"
    elif above is not None:
        holds, wanted = above < value < math.inf, f"> {above:g}"
    else:
        return []
    return [] if holds else [OptionMistake(path, f"{'.'.join(path)} must be {wanted}, got {value}")]


def _check_members(schema: Mapping[str, Any], value: Any, path: tuple[str, ...]) -> Iterator[OptionMistake]:
    if schema.get("type") == "array":
        yield from _check_array(schema, value, path)
    elif schema.get("type") == "object":
        yield from _check_object(schema, value, path)


def _check_array(schema: Mapping[str, Any], value: Any, path: tuple[str, ...]) -> Iterator[OptionMistake]:
    items = schema.get("items", [] if schema.get("maxItems") == 0 else {})
    if isinstance(items, list) and len(items) != len(value):
        yield OptionMistake(path, f"{'.'.join(path)} must have {len(items)} members, got {len(value)}")
        return
    for index, member in enumerate(value):
        member_schema: Schema = items[index] if isinstance(items, list) else items
        yield from check_value(member_schema, member, (*path, str(index)))


def _check_object(schema: Mapping[str, Any], value: Any, path: tuple[str, ...]) -> Iterator[OptionMistake]:
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties", {})
    for name, member in value.items():
        if name in properties:
            yield from check_value(properties[name], member, (*path, str(name)))
        elif others is False:
            yield unknown(path, str(name), list(properties))
        else:
            yield from check_value(others, member, (*path, str(name)))
    for name in schema.get("required", ()):
        if name not in value:
            option = OptionSpec(name, "", properties.get(name, {}), required=True)
            yield missing(path, option)


def _check_enum(schema: Mapping[str, Any], value: Any, path: tuple[str, ...]) -> list[OptionMistake]:
    values = schema["enum"]
    if any(type(value) is type(known) and value == known for known in values):
        return []
    if isinstance(value, str) and value in values:  # a subclass of str that keeps its place in a file
        return []
    hint = did_you_mean(value, [known for known in values if isinstance(known, str)]) if isinstance(value, str) else ""
    return [OptionMistake(path, _must_be(path, schema, value), hint.strip())]


def _check_any(schema: Mapping[str, Any], value: Any, path: tuple[str, ...]) -> list[OptionMistake]:
    branches = schema["anyOf"]
    results = [check_value(branch, value, path) for branch in branches]
    if not all(results):
        return []
    fitting = [i for i, branch in enumerate(branches) if "type" in branch and _is_a(branch["type"], value)]
    if len(fitting) == 1:  # the right type, wrong inside: say what is wrong inside
        return results[fitting[0]]
    hints = [mistake.suggestion for result in results for mistake in result if mistake.suggestion]
    return [OptionMistake(path, _must_be(path, schema, value), hints[0] if hints else "")]


def words(schema: Mapping[str, Any]) -> str:
    """Return what a schema takes, in words: `a number or null`."""
    if "anyOf" in schema:
        return " or ".join(words(branch) for branch in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(shown(value) for value in schema["enum"])
    kind = schema.get("type", "")
    items = schema.get("items")
    if kind == "array" and isinstance(items, list):
        return f"a list of {len(items)} values"
    if kind == "array" and items:
        return f"a list, each member {words(items)}"
    return "a path" if schema.get("format") == "path" else _WORDS.get(kind, "any value")


def shown(value: Any) -> str:
    """Return a value as a run file has it, cut to a readable length."""
    if isinstance(value, bool):
        return str(value).lower()
    text = "null" if value is None else repr(str(value)) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
