"""A plan as plain data: what `swift plan --json` prints and the run directory keeps."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from swift_core.contracts.handover import PartPlan, RunPlan, ValueOrigin

FORMAT = 1
"""Version of this form; a reader refuses one that it does not know."""

VERSIONED = (
    *("swift-core", "torch", "transformers", "peft", "accelerate", "datasets", "tokenizers", "safetensors"),
    "deepspeed",
)
"""Distributions whose version decides what a run does."""

_DEFAULT = ValueOrigin("default")


def plan_dict(plan: RunPlan) -> dict[str, Any]:
    """Return `plan` as JSON-able data: every value with its origin, every part with its wheel."""
    return {
        "format": FORMAT,
        "run_file": str(plan.config.path),
        "settings": settings_dict(plan),
        "engine": engine_dict(plan),
        "parts": [part_dict(part) for part in plan.parts],
        "formats": [part.plugin.name for part in plan.formats],
        "shorthands": dict(plan.config.shorthands),
        "notes": list(plan.notes),
        "versions": versions(plan),
        **({"remote_code": dict(plan.remote_code)} if plan.remote_code else {}),
    }


def settings_dict(plan: RunPlan) -> dict[str, Any]:
    """Return the sections of the run: key -> value and origin; what stands at the top is in the section ``."""
    sections: dict[str, Any] = {}
    for option in fields(plan.settings):
        value = getattr(plan.settings, option.name)
        if is_dataclass(value):
            sections[option.name] = {
                inner.name: _valued(plan, f"{option.name}.{inner.name}", getattr(value, inner.name))
                for inner in fields(value)
            }
        else:
            sections.setdefault("", {})[option.name] = _valued(plan, option.name, value)
    return sections


def engine_dict(plan: RunPlan) -> dict[str, Any]:
    """Return every option of the method that processes share the run by, with its origin."""
    preset = ValueOrigin("default", note=f"preset {plan.parallel.method}")
    origins = plan.config.origins
    return {
        name: _with_origin(value, origins.get(f"device.engine_kwargs.{name}", preset))
        for name, value in plan.parallel.values.items()
    }


def part_dict(part: PartPlan) -> dict[str, Any]:
    """Return one part: what it is, where it came from, and its options with their origins."""
    given = {name: _with_origin(value, part.origins.get(name, _DEFAULT)) for name, value in part.options.items()}
    for option in part.source.options:
        if option.name not in given and not option.required:
            given[option.name] = {"value": plain(option.default), "origin": "plugin default"}
    return {
        "kind": part.kind,
        "key": part.key,
        "name": part.plugin.name,
        "wheel": part.plugin.distribution,
        "version": part.plugin.version,
        "target": part.plugin.target,
        "origin": part.plugin.origin,
        "options": given,
        "weight": part.weight,
        **({"aggregate": part.aggregate} if part.aggregate else {}),
        **({"schedule": asdict(part.schedule)} if part.schedule else {}),
        **({"when": dict(part.when)} if part.when else {}),
    }


def versions(plan: RunPlan) -> dict[str, str]:
    """Return the versions of Python, of the libraries that decide what a run does, and of each part's wheel."""
    names = dict.fromkeys((*VERSIONED, *(part.plugin.distribution for part in plan.parts)))
    found = {name: number for name in names if (number := _version(name))}
    return {"python": platform.python_version(), **found}


def _version(name: str) -> str:
    """Return the version of a distribution, or an empty text: `(file)` is none."""
    from importlib.metadata import PackageNotFoundError, version  # 15 ms that only JSON needs

    try:
        return version(name)
    except (PackageNotFoundError, ValueError):
        return ""


def plain(value: Any) -> Any:
    """Return a value of the settings as JSON-able data."""
    if is_dataclass(value) and not isinstance(value, type):
        return {option.name: plain(getattr(value, option.name)) for option in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value)


def _valued(plan: RunPlan, key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Path) and key not in plan.config.origins:
        value = ""
    origin = plan.config.origins.get(key, _DEFAULT)
    valued = _with_origin(value, origin)
    inner = {
        name.removeprefix(f"{key}."): _origin_dict(other)
        for name, other in plan.config.origins.items()
        if name.startswith(f"{key}.") and other.kind != origin.kind
    }
    return {**valued, **({"inner": inner} if inner else {})}


def _with_origin(value: Any, origin: ValueOrigin) -> dict[str, Any]:
    return {"value": plain(value), **_origin_dict(origin)}


def _origin_dict(origin: ValueOrigin) -> dict[str, Any]:
    written: dict[str, Any] = {"origin": origin.kind}
    if origin.place:
        written["place"] = str(origin.place)
    if origin.note:
        written["note"] = origin.note
    return written
