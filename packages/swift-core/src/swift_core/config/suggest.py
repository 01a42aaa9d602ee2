"""What a mistyped or misplaced key was meant to be."""

from __future__ import annotations

import difflib
import typing
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from swift_core.config.aliases import RENAMES, SHORTHANDS
from swift_core.config.renames import DROPPED, KEYS, REMARKS
from swift_core.contracts.settings import RunSettings
from swift_core.errors import Problem

if typing.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from swift_core.config.document import Node


@lru_cache(maxsize=1)
def sections() -> Mapping[str, tuple[str, ...]]:
    """Return the keys of each section, also of `plugins.sandbox`; the empty name holds those at the top of the file."""
    hints = typing.get_type_hints(RunSettings)
    found = {"": tuple(f.name for f in fields(RunSettings))}
    for name in found[""]:
        if is_dataclass(hints[name]):
            found[name] = tuple(f.name for f in fields(hints[name]))
            inner = typing.get_type_hints(hints[name])
            nested = [key for key in found[name] if is_dataclass(inner[key])]
            found |= {f"{name}.{key}": tuple(f.name for f in fields(inner[key])) for key in nested}
    return MappingProxyType(found)


@lru_cache(maxsize=1)
def required_keys() -> frozenset[str]:
    """Return the dotted keys that a run file must have."""
    hints = typing.get_type_hints(RunSettings)
    needed = set()
    for name in sections()[""]:
        for option in fields(hints[name]) if is_dataclass(hints[name]) else ():
            if option.default is MISSING and option.default_factory is MISSING:
                needed.add(f"{name}.{option.name}")
    return frozenset(needed)


def closest(name: str, known: Iterable[str]) -> str:
    """Return the known name most like `name`, or an empty text."""
    by_folded = {_folded(other): other for other in known}
    close = difflib.get_close_matches(_folded(name), list(by_folded), n=1, cutoff=0.72)
    return by_folded[close[0]] if close else ""


def unknown_key(node: Node, path: tuple[str | int, ...], known: Iterable[str]) -> tuple[Problem, str]:
    """Return the problem of the key at `path`, which is none of `known`, and the dotted key that was meant, or ''."""
    name = str(path[-1])
    section = ".".join(str(step) for step in path[:-1])
    where = f"section {section!r} has no key" if section else "a run file has no section or key"
    hint, next_step, meant = _hint(name, section, list(known))
    problem = Problem("unknown-key", f"{where} {name!r}.{' ' + hint if hint else ''}", node.key, next_step)
    return problem, meant


def _hint(name: str, section: str, known: list[str]) -> tuple[str, str, str]:
    """Return a sentence about what was meant, what to do, and the dotted key that was meant."""
    means = KEYS.get(name.lower(), "")
    home, _, here = means.rpartition(".")
    if means and home == section:
        return f"It is called {here!r} here.", _remark(name, f"replace {name!r} by {here!r}"), means
    if section and name in sections()[""]:
        return "It stands at the top of a run file, not in a section.", f"move it out of {section!r}", name
    if name in DROPPED:
        return *DROPPED[name], ""
    homes = [other for other, keys in sections().items() if other not in ("", section) and _takes(other, name, keys)]
    if homes:
        return f"It belongs in section {homes[0]!r}.", _written(homes[0], name), f"{homes[0]}.{name}"
    if spelled := closest(name, [*known, *_accepted(section)]):
        meant = f"{section}.{spelled}".lstrip(".")
        return f"Did you mean {spelled!r}?", f"replace {name!r} by {spelled!r}", meant
    if means:
        return f"It is called {means!r} here.", _remark(name, _written(home, here)), means
    return _elsewhere(name, section, known)


def _elsewhere(name: str, section: str, known: list[str]) -> tuple[str, str, str]:
    """Look for a similar key in the other sections; else name the keys that are known here."""
    homes = {key: home for home, keys in sections().items() if home not in ("", section) for key in keys}
    if spelled := closest(name, homes):
        meant = f"{homes[spelled]}.{spelled}"
        return f"Did you mean {spelled!r} in section {homes[spelled]!r}?", _written(homes[spelled], spelled), meant
    shown = ", ".join(known) if len(known) <= 12 else f"{', '.join(known[:12])}, ..."
    return "", f"known here: {shown}" if known else "remove it", ""


def _takes(home: str, name: str, keys: Iterable[str]) -> bool:
    return name in keys or name in _accepted(home)


def _accepted(section: str) -> list[str]:
    renamed = [rename.written for rename in RENAMES]
    return [written[-1] for written in (*renamed, *SHORTHANDS) if ".".join(written[:-1]) == section and section]


def _remark(name: str, otherwise: str) -> str:
    return REMARKS.get(name.lower(), otherwise)


def _written(home: str, key: str) -> str:
    if not home:
        return f"write `{key}: ...` at the top of the file"
    opening = home.replace(".", ": {")
    return f"write `{opening}: {{{key}: ...}}{'}' * home.count('.')}`"


def _folded(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")


def describe(value: Any) -> str:
    """Return a value of a run file as a reader would name it: `the text '5'`, `the list [1, 2]`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {_clipped(repr(value))}"
    if isinstance(value, dict):
        return f"a mapping with the keys {_clipped(', '.join(map(str, value)))}" if value else "an empty mapping"
    if isinstance(value, list):
        return f"the list {_clipped(repr(value))}"
    return _clipped(repr(value))


def _clipped(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
