"""Check a run file against the settings: types, ranges and unknown keys, all at once and each with its place."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

from swift_core.config.document import Node
from swift_core.config.messages import sentence
from swift_core.config.suggest import sections, unknown_key
from swift_core.contracts.settings import PartRef, RewardRef, RunSettings, StepRewardRef
from swift_core.errors import Place, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

PART_LISTS = (
    *(("train", name) for name in ("callbacks", "metrics", "loss_scale")),
    *(("reward", name) for name in ("orms", "prms")),
)
"""Lists of plugins, in which a plain string stands for a name without options."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong at one key."""

    problem: Problem
    path: tuple[str | int, ...]
    kind: Literal["unknown", "missing", "value"]
    meant: str = ""
    """Of an unknown key: the dotted key that was meant, where one can be guessed."""


@lru_cache(maxsize=1)
def settings_adapter() -> TypeAdapter[RunSettings]:
    """Return pydantic's reader of a whole run file.

    Pydantic's own plugins stay out: to find them it would read the entry points of every installed distribution.
    """
    variable = "PYDANTIC_DISABLE_PLUGINS"
    before = os.environ.get(variable)
    os.environ[variable] = "__all__"
    try:
        return TypeAdapter(RunSettings)
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


def normalise(root: Node) -> None:
    """Write short forms out, in place: an empty section is a mapping, a plain string in a list of parts is a name."""
    if not isinstance(root.value, dict):
        return
    for name, section in root.value.items():
        if section.value is None and name in sections():
            section.value = {}
    for section_name, name in PART_LISTS:
        section = root.child(section_name)
        parts = section.child(name) if section else None
        if parts is not None and name == "loss_scale" and isinstance(parts.value, str):
            parts.value = [Node(word.strip(), parts.place, parts.key, parts.source) for word in parts.value.split("+")]
        if parts is not None and isinstance(parts.value, list):
            parts.value = [_part(item) for item in parts.value]


def validate(root: Node, file: str) -> tuple[RunSettings | None, list[Mistake]]:
    """Return the settings, or None and what is wrong with them."""
    try:
        settings = settings_adapter().validate_json(json.dumps(root.plain()))
    except ValidationError as error:
        return None, _mistakes(root, file, error)
    return settings, []


def _part(item: Node) -> Node:
    if not isinstance(item.value, str):
        return item
    return Node({"name": item}, item.place, item.key, item.source)


def _mistakes(root: Node, file: str, error: ValidationError) -> list[Mistake]:
    grouped: dict[tuple[str | int, ...], list[Mapping[str, Any]]] = {}
    for detail in error.errors(include_url=False):
        grouped.setdefault(_path(root, detail), []).append(detail)
    paths = [path for path in grouped if not any(_inside(path, other) for other in grouped)]
    mistakes = [_unknown(root, path) for path in paths if _kind(grouped[path]) == "unknown"]
    meant = [mistake.meant for mistake in mistakes if mistake.meant]
    for path in paths:
        if _kind(grouped[path]) == "missing" and not _is_meant(path, meant):
            mistakes.append(Mistake(_missing(root, file, path), path, "missing"))
        elif _kind(grouped[path]) == "value":
            mistakes.append(Mistake(_wrong(root, path, grouped[path]), path, "value"))
    return mistakes


def _kind(details: list[Mapping[str, Any]]) -> Literal["unknown", "missing", "value"]:
    kinds: dict[str, Literal["unknown", "missing"]] = {"unexpected_keyword_argument": "unknown", "missing": "missing"}
    return kinds.get(details[0]["type"], "value")


def _is_meant(path: tuple[str | int, ...], meant: list[str]) -> bool:
    """Say whether an unknown key was meant to be the missing one, or a key of the missing section."""
    name = ".".join(map(str, path))
    return any(other == name or other.startswith(f"{name}.") for other in meant)


def _inside(path: tuple[str | int, ...], other: tuple[str | int, ...]) -> bool:
    """Say whether `other` is a more exact place than `path`."""
    return len(other) > len(path) and other[: len(path)] == path


def _path(root: Node, detail: Mapping[str, Any]) -> tuple[str | int, ...]:
    """Return the path in the file: pydantic's path without the names of a union's branches."""
    path: list[str | int] = []
    node: Node | None = root
    loc = detail["loc"]
    for position, step in enumerate(loc):
        child = node.child(step) if node else None
        if child is not None:
            path.append(step)
            node = child
        elif detail["type"] == "missing" and position == len(loc) - 1:
            path.append(step)
    return tuple(path)


def _unknown(root: Node, path: tuple[str | int, ...]) -> Mistake:
    problem, meant = unknown_key(_node(root, path) or root, path, _known(path[:-1]))
    return Mistake(problem, path, "unknown", meant)


def _wrong(root: Node, path: tuple[str | int, ...], details: list[Mapping[str, Any]]) -> Problem:
    here = _node(root, path) or root
    message, next_step = sentence(path, here, details)
    return Problem("wrong-value", message, here.place, next_step)


def _node(root: Node, path: tuple[str | int, ...]) -> Node | None:
    node: Node | None = root
    for step in path:
        node = node.child(step) if node else None
    return node


def _known(parent: tuple[str | int, ...]) -> tuple[str, ...]:
    """Return the keys that may stand in the mapping at `parent`."""
    name = ".".join(str(step) for step in parent if isinstance(step, str))
    if name == "reward.orms":
        return tuple(RewardRef.__dataclass_fields__)
    if name == "reward.prms":
        return tuple(StepRewardRef.__dataclass_fields__)
    if name in ("train.callbacks", "train.metrics", "train.loss_scale"):
        return tuple(PartRef.__dataclass_fields__)
    return sections().get(name, ())


_NEEDED = {
    "model": ("which model is trained", "model: {model_id: demo:tiny}"),
    "data": ("what it is trained on", "data: {dataset: demo:chat}"),
    "model.model_id": ("a folder, a hub id, demo:tiny or gguf:PATH", "model_id: demo:tiny"),
    "data.dataset": ("a path, a hub id or a demo: name", "dataset: demo:chat"),
}


def _missing(root: Node, file: str, path: tuple[str | int, ...]) -> Problem:
    name = ".".join(map(str, path))
    parent = _node(root, path[:-1]) or root
    what, example = _NEEDED.get(name, ("", f"{path[-1]}: ..."))
    is_section = len(path) == 1
    noun = "section" if is_section else "key"
    where = "the run file" if is_section else f"{'.'.join(map(str, path[:-1]))!r}"
    place = Place(file, 1, 1) if is_section else parent.key
    message = f"{where} needs the {noun} {str(path[-1])!r}{': ' + what if what else ''}"
    return Problem("missing-key", message, place, f"add `{example}`")
