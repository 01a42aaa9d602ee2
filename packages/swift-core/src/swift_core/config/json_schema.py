"""The JSON schema of the sections: pydantic's, as draft 7, with the text under each field and with aliases."""

from __future__ import annotations

import ast
import inspect
from functools import lru_cache
from typing import Any

from swift_core.config.aliases import RENAMES
from swift_core.config.schema import PART_LISTS, settings_adapter
from swift_core.contracts import settings

DRAFT = "http://json-schema.org/draft-07/schema#"

_SHORTHANDS: dict[str, dict[str, dict[str, Any]]] = {
    "TrainSettings": {
        "lora_rank": {"type": "integer", "minimum": 1, "description": "Short for the tuner's option."},
        "lora_alpha": {"type": "number", "exclusiveMinimum": 0, "description": "Short for the tuner's option."},
        "beta": {"type": "number", "description": "Short for the option `beta` of the part that has it."},
    },
    "DataSettings": {"task_type": {"const": "preference", "description": "Short for `train.stage: dpo`."}},
}
_CLASS_OF = {"train": "TrainSettings", "model": "ModelSettings", "data": "DataSettings", "device": "DeviceSettings"}


def sections_schema() -> dict[str, Any]:
    """Return the schema of a run file without the options of plugins; a fresh copy each time."""
    schema = settings_adapter().json_schema()
    definitions = schema.pop("$defs")
    for name, definition in definitions.items():
        _describe(name, definition)
    _describe("RunSettings", schema)
    _accept_aliases(schema, definitions)
    _accept_names(definitions)
    ordered: dict[str, Any] = {"$schema": DRAFT, "title": "swift run file", **_untitled(schema)}
    ordered["definitions"] = _untitled(definitions)
    relocated: dict[str, Any] = _relocated(ordered)
    return relocated


def _describe(name: str, definition: dict[str, Any]) -> None:
    texts: dict[str, str] = {}
    for cls in reversed(getattr(settings, name).__mro__):
        texts |= field_texts().get(cls.__name__, {})
    definition["description"] = inspect.cleandoc(getattr(settings, name).__doc__ or "")
    for key, option in definition.get("properties", {}).items():
        if key in texts and "$ref" not in option:
            option["description"] = texts[key]
        if key == "max_steps":
            option["not"] = {"const": 0}
        if isinstance(option.get("default"), str) and option.get("format") == "path":
            del option["default"]


def _accept_aliases(schema: dict[str, Any], definitions: dict[str, Any]) -> None:
    for rename in RENAMES:
        *section, name = rename.written
        home = definitions[_CLASS_OF[section[0]]] if section else schema
        source = definitions[_CLASS_OF[rename.means[0]]] if len(rename.means) > 1 else schema
        meant = source["properties"][rename.means[-1]]
        alias = {**meant, "description": f"Another name for `{'.'.join(rename.means)}`."}
        home["properties"][name] = alias if "$ref" not in meant else meant
        if len(rename.means) == len(rename.written) and rename.means[-1] in home.get("required", ()):
            home["required"].remove(rename.means[-1])
            home.setdefault("allOf", []).append({"anyOf": [{"required": [rename.means[-1]]}, {"required": [name]}]})
    for name, shorthands in _SHORTHANDS.items():
        definitions[name]["properties"].update(shorthands)


def _accept_names(definitions: dict[str, Any]) -> None:
    """Let a plain string stand for a part without options, as the loader does."""
    for section, name in PART_LISTS:
        owner = "RewardSettings" if section == "reward" else _CLASS_OF[section]
        option = definitions[owner]["properties"][name]
        option["items"] = {"anyOf": [{"type": "string", "minLength": 1}, option["items"]]}


@lru_cache(maxsize=1)
def field_texts() -> dict[str, dict[str, str]]:
    """Return class -> field -> the text under the field, read from the source of the settings."""
    tree = ast.parse(inspect.getsource(settings))
    return {node.name: _texts(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _texts(node: ast.ClassDef) -> dict[str, str]:
    texts = {}
    for statement, following in zip(node.body, node.body[1:], strict=False):
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            continue
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            texts[statement.target.id] = inspect.cleandoc(str(following.value.value))
    return texts


def _untitled(node: Any) -> Any:
    """Return the schema without pydantic's titles, which only repeat the keys."""
    if isinstance(node, list):
        return [_untitled(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: _untitled(value) for key, value in node.items() if key != "title" or not isinstance(value, str)}


def _relocated(node: Any) -> Any:
    """Return the schema with references to `definitions`, where draft 7 keeps them."""
    if isinstance(node, list):
        return [_relocated(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: value.replace("#/$defs/", "#/definitions/") if key == "$ref" else _relocated(value)
        for key, value in node.items()
    }
