"""One sentence for each way in which a value can be wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from swift_core.config.suggest import closest, describe, required_keys, sections

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swift_core.config.document import Node

_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
    "path_type": "a path",
}
_BOUNDS = {
    "greater_than": ("gt", "> "),
    "greater_than_equal": ("ge", ">= "),
    "less_than": ("lt", "< "),
    "less_than_equal": ("le", "<= "),
}


def sentence(path: Sequence[str | int], node: Node, details: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return what is wrong with the value of `node`, and what to do; `details` are pydantic's errors at `path`."""
    name = ".".join(map(str, path)) or "a run file"
    if node.note.startswith("written as "):
        name = f"{name} ({node.note})"
    got = describe(node.plain())
    kinds = [detail["type"] for detail in details]
    first = details[0]
    if kinds[0] in _BOUNDS:
        return f"{name} must be {_bounds(first)}, got {got}", _other_number(path, node.value)
    if kinds[0] == "literal_error":
        return _choice(name, node, first["ctx"]["expected"] + (", true or false" if "bool_type" in kinds else ""))
    if any(kind in ("string_too_short", "too_short") for kind in kinds):
        return f"{name} must not be empty", _give_value(path)
    if kinds[0] == "finite_number":
        return f"{name} must be a finite number, got {got}", "write a number"
    if path and isinstance(path[-1], int) and kinds[0] == "dataclass_type":
        return (
            f"{name} must be a name, or a mapping with `name` and `kwargs`; got {got}",
            "write the name of the plugin",
        )
    expected = " or ".join(dict.fromkeys(_TYPES.get(kind, first["msg"]) for kind in kinds))
    return f"{name} must be {expected}, got {got}", _retype(path, node.value, kinds)


def _bounds(detail: Mapping[str, Any]) -> str:
    key, sign = _BOUNDS[detail["type"]]
    return f"{sign}{detail['ctx'][key]:g}"


def _other_number(path: Sequence[str | int], value: Any) -> str:
    if path[-1] == "max_steps":
        return "give a number of steps > 0, or -1 to leave it to num_train_epochs"
    if path[-1] == "num_processes" and value == 0:
        return "to stay on the CPU write `use_cpu: true`"
    return "give a number in that range"


def _choice(name: str, node: Node, allowed: str) -> tuple[str, str]:
    choices = [choice.strip("' ") for choice in allowed.replace(" or ", ", ").split(",")]
    guess = closest(str(node.value), choices) if isinstance(node.value, str) else ""
    shorter = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "half": "float16", "float": "float32"}
    guess = guess or next((choice for choice in choices if shorter.get(str(node.value)) == choice), "")
    hint = f" Did you mean {guess!r}?" if guess else ""
    return (
        f"{name} must be {allowed}, got {describe(node.plain())}.{hint}",
        f"write {guess}" if guess else "write one of them",
    )


def _give_value(path: Sequence[str | int]) -> str:
    return "give a value" if ".".join(map(str, path)) in required_keys() else "give a value, or remove the key"


def _retype(path: Sequence[str | int], value: Any, kinds: Sequence[str]) -> str:
    if value is None:
        return _give_value(path)
    if kinds[0] in ("int_type", "int_from_float", "float_type"):
        return _as_number(value, kinds[0])
    if kinds[0] == "bool_type":
        return "write true or false without quotes"
    if kinds[-1] == "list_type" and isinstance(value, str):
        return f"write [{value}]"
    if kinds[0] == "dataclass_type" and len(path) == 1:
        return _section_form(str(path[0]), value)
    if kinds[0] in ("dataclass_type", "dict_type"):
        return "write it as `name: value` pairs, indented below the key"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "put the value in quotes"
    if isinstance(value, list) and len(value) == 1:
        return "write the value without brackets"
    return "write the value as text"


def _as_number(value: Any, kind: str) -> str:
    if isinstance(value, str) and _is_number(value):
        return "remove the quotes"
    if isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    return "write a number" if kind == "float_type" else "write a whole number"


_KEY_VALUE = re.compile(r"(\w+)\s*[:= ]\s*(\S.*)\Z")


def _section_form(section: str, value: Any) -> str:
    glued = _KEY_VALUE.match(value) if isinstance(value, str) else None
    if glued and glued[1] in sections().get(section, ()):
        return f"write `{glued[1]}: {glued[2]}`, with a colon and a space"
    key = {"model": "model_id", "data": "dataset", "train": "stage"}.get(section)
    if key and isinstance(value, str) and value:
        return f"write `{section}: {{{key}: {value}}}`"
    return "write its keys indented below it"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
