"""What the templates share: calls and tools as JSON inside a text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_DECODER = json.JSONDecoder()


def dumped(value: Any, *, indent: int | None = None) -> str:
    """Return `value` as JSON, letters of all scripts as they are; raise ValueError for what JSON has no word for."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)


def decoded(text: str, position: int, name: str) -> tuple[Mapping[str, Any], int]:
    """Return the JSON object that starts at `position`, white space left out, and where it ends.

    Raises:
        ValueError: There is none; `name` says what it would be.
    """
    while position < len(text) and text[position].isspace():
        position += 1
    try:
        value, end = _DECODER.raw_decode(text, position)
    except (json.JSONDecodeError, RecursionError) as error:
        reason = getattr(error, "msg", "it is nested too deeply")
        raise ValueError(f"{name} is not valid JSON ({reason}): {_start(text[position:])}") from error
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a JSON object, got {_start(text[position:end])}")
    return value, end


def call_of(value: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return a call that is JSON as `{name, arguments}`; its arguments stand under one of `keys`."""
    arguments = next((value[key] for key in keys if key in value), None)
    if not isinstance(value.get("name"), str) or not isinstance(arguments, Mapping):
        raise ValueError(f"a call must have a name and {keys[0]} that are an object, got {_start(dumped(value))}")
    return {"name": value["name"], "arguments": dict(arguments)}


def functions(tools: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the function of each tool: `{name, description, parameters}`."""
    return [tool.get("function", tool) for tool in tools]


def described(tools: Sequence[Mapping[str, Any]], form: str) -> str:
    """Return a paragraph for each tool, written by `form`."""
    return "\n\n".join(
        form.format(
            name=each["name"], description=each.get("description", ""), parameters=dumped(each.get("parameters") or {})
        )
        for each in functions(tools)
    )


def named(tools: Sequence[Mapping[str, Any]]) -> str:
    """Return the names of the tools with commas between them."""
    return ",".join(each["name"] for each in functions(tools))


def below(system: str, text: str) -> str:
    """Return `text` below the system message that a conversation has already."""
    return f"{system}\n\n{text}" if system else text


def _start(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
