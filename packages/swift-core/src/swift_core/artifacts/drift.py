"""What a run was when it wrote a checkpoint, and how the run that goes on differs from it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from swift_core.artifacts.data_lock import data_lock
from swift_core.contracts.plan_json import plain
from swift_core.plugins.identity import content_hash
from swift_core.plugins.option_files import files_hash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from swift_core.contracts.handover import PartPlan, RunPlan

FREE = (
    "output_dir",
    "train.save_strategy",
    "train.save_steps",
    "train.save_total_limit",
    "train.logging_steps",
    "train.report_to",
    "train.run_name",
    "train.keep_text",
    "rollout.log_completions",
    "plugins.",
)
"""Keys that change nothing of what is trained: what is written, shown and permitted."""

SHARED = (
    "device.parallel_method",
    "device.num_processes",
    "device.tensor_parallel_size",
    "device.nodes",
    "device.engine_kwargs",
    "train.gradient_accumulation_steps",
    "train.per_device_train_batch_size",
)
"""Keys that say who computes which rows of a step; with as many rows in all, the run is the same but for rounding."""


def identity(plan: RunPlan) -> dict[str, Any]:
    """Return what a manifest keeps of a run: settings, their digest, plugins and data files with their bytes.

    `plugins` is the run's lock: part -> [name, wheel, version, SHA-256 of the code].
    """
    settings = dict(sorted(_flat("", plan.settings)))
    settings |= {f"remote_code.{model_id}": pin for model_id, pin in sorted(plan.remote_code.items())}
    text = json.dumps(settings, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"settings": settings, "plan": digest, "plugins": _lock(plan), "data": data_lock(plan)}


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a line for each key that differs: `train.learning_rate: 0.001 -> 0.002`."""
    old, new = before.get("settings", {}), now["settings"]
    free = (*FREE, *SHARED) if _rows_of_a_step(old) == _rows_of_a_step(new) else FREE
    keys = [key for key in sorted({*old, *new}) if not key.startswith(free)]
    return [f"{key}: {_shown(old, key)} -> {_shown(new, key)}" for key in keys if old.get(key) != new.get(key)]


def shared_otherwise(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a line for each key that shares the rows of a step out otherwise, while there are as many of them."""
    old, new = before.get("settings", {}), now["settings"]
    keys = [key for key in sorted({*old, *new}) if key.startswith(SHARED)]
    return [f"{key}: {_shown(old, key)} -> {_shown(new, key)}" for key in keys if old.get(key) != new.get(key)]


def _rows_of_a_step(settings: Mapping[str, Any]) -> Any:
    """Return the rows of a step on all processes; packed ones are shared out by micro-batch and have no number."""
    numbers = [
        settings.get(key) for key in ("device.num_processes", *(key for key in SHARED if key.startswith("train.")))
    ]
    if isinstance(numbers[0], int):
        numbers[0] //= settings.get("device.tensor_parallel_size", 1)  # processes that hold one model see the same rows
    return math.prod(numbers) if all(isinstance(number, int) for number in numbers) else tuple(map(str, numbers))


def changed_plugins(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a line for each part whose plugin is another one, of another version, or of other code."""
    old, new = before.get("plugins", {}), now["plugins"]
    return [
        f"{key}: {_difference(old.get(key), new.get(key))}"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


def changed_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a line for each data file that both name and that holds something else."""
    old, new = before.get("data", {}), now["data"]
    return [f"{name}: {old[name]} -> {new[name]}" for name in new if name in old and old[name] != new[name]]


def _difference(old: Any, new: Any) -> str:
    if old is None or new is None:
        return "was not part of the run" if old is None else "is no longer part of the run"
    if list(old)[:3] != new[:3]:
        return f"{' '.join(map(str, list(old)[:3]))} -> {' '.join(map(str, new[:3]))}"
    return f"the code of {new[0]} ({new[1]} {new[2]}) has changed"


def _lock(plan: RunPlan) -> dict[str, list[str]]:
    named = plan.formats if len(plan.formats) == 1 else ()  # else all that may be detected
    hashes: dict[tuple[str, str], str] = {}
    folder = plan.config.path.parent
    models = {f"remote_code.{model_id}": [model_id, "(model)", pin, pin] for model_id, pin in plan.remote_code.items()}
    return {part.key: _locked(part, hashes, folder) for part in (*plan.parts, *named)} | models


def _locked(part: PartPlan, hashes: dict[tuple[str, str], str], folder: Path) -> list[str]:
    """Return a part's entry; a package is hashed once, whatever number of parts comes from it."""
    plugin = part.plugin
    root = (plugin.distribution, str(plugin.path or plugin.target.partition(":")[0].partition(".")[0]))
    if root not in hashes:
        hashes[root] = content_hash(plugin)
    read = files_hash(part, folder)
    code = hashlib.sha256(f"{hashes[root]} {read}".encode()).hexdigest() if read else hashes[root]
    return [plugin.name, plugin.distribution, plugin.version, code]


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values; an empty list or mapping is a value of its own."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {option.name: getattr(value, option.name) for option in fields(value)}
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}" if key else str(name), inner)
    else:
        yield key, json.loads(json.dumps(plain(value)))


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return json.dumps(settings[key], ensure_ascii=False) if key in settings else "(not set)"
