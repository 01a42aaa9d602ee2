"""One sentence for each way in which a value can be wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from swift_core.config.document import Node
from swift_core.config.suggest import describe

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
Closest = Callable[[str, Iterable[str]], str]


def sentence(
    path: Sequence[str | int], node: Node, details: Sequence[Mapping[str, Any]], closest: Closest
) -> tuple[str, str]:
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
        return _choice(name, node, first, closest)
    if any(kind in ("string_too_short", "too_short") for kind in kinds):
        return f"{name} must not be empty", "write a value, or remove the key"
    if kinds[0] == "finite_number":
        return f"{name} must be a finite number, got {got}", "write a number"
    if path and isinstance(path[-1], int) and kinds[0] == "dataclass_type":
        return f"{name} must be a name, or a mapping with `name` and `kwargs`; got {got}", "write the name of the plugin"
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


def _choice(name: str, node: Node, detail: Mapping[str, Any], closest: Closest) -> tuple[str, str]:
    allowed = detail["ctx"]["expected"]
    choices = [choice.strip("' ") for choice in allowed.replace(" or ", ", ").split(",")]
    guess = closest(str(node.value), choices) if isinstance(node.value, str) else ""
    shorter = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "half": "float16", "float": "float32"}
    guess = guess or next((choice for choice in choices if shorter.get(str(node.value)) == choice), "")
    hint = f" Did you mean {guess!r}?" if guess else ""
    return f"{name} must be {allowed}, got {describe(node.plain())}.{hint}", f"write {guess}" if guess else "write one of them"


def _retype(path: Sequence[str | int], value: Any, kinds: Sequence[str]) -> str:
    if value is None:
        return "give a value, or remove the key to have the default"
    if isinstance(value, str) and _is_number(value) and kinds[0] in ("int_type", "float_type"):
        return "remove the quotes"
    if kinds[0] == "bool_type":
        return "write true or false without quotes"
    if kinds[-1] == "list_type" and isinstance(value, str):
        return f"write [{value}]"
    if kinds[0] == "dataclass_type" and len(path) == 1:
        return _section_form(str(path[0]), value)
    if kinds[0] in ("dataclass_type", "dict_type"):
        return "write it as `name: value` pairs, indented below the key"
    if kinds[0] == "string_type" and isinstance(value, (int, float)):
        return "put the value in quotes"
    return "change the value"


def _section_form(section: str, value: Any) -> str:
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
