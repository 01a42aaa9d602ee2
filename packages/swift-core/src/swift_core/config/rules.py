"""What a type cannot say: values that exclude each other, and shorthands with a wrong value."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from swift_core.config.suggest import describe
from swift_core.errors import Place, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swift_core.config.document import Node

_SECRET = re.compile(
    r"(?:^|[_-])(?:api[_-]?key|apikey|password|passwd|secret|authorization|bearer|(?:access|auth|hf|api|hub)[_-]?token)$",
    re.IGNORECASE,
)
_STEP_KEYS = ("logging_steps", "eval_steps", "save_steps", "warmup_steps")


def broken_rules(root: Node, shorthands: Mapping[str, Node]) -> list[Problem]:
    """Return what is wrong although every value has its type."""
    return [
        *_steps(root),
        *_held_out(root),
        *_output(root),
        *_shorthands(shorthands),
        *_data_paths(root),
        *_secrets(root),
    ]


def _value(root: Node, section: str, name: str) -> Node | None:
    parent = root.child(section)
    return parent.child(name) if parent else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _steps(root: Node) -> list[Problem]:
    problems = []
    max_steps = _value(root, "train", "max_steps")
    if max_steps and max_steps.value == 0 and _is_number(max_steps.value):
        message = "train.max_steps must be > 0, or -1 to leave it to num_train_epochs; got 0"
        problems.append(Problem("wrong-value", message, max_steps.place, "write a number of steps, or remove the key"))
    for name in _STEP_KEYS:
        node = _value(root, "train", name)
        if node and isinstance(node.value, float) and 1 < node.value < float("inf") and not node.value.is_integer():
            message = f"train.{name} must be a whole number, or a share of all steps below 1, got {node.value}"
            problems.append(Problem("wrong-value", message, node.place, f"write {int(node.value)}"))
    return problems


def _held_out(root: Node) -> list[Problem]:
    ratio, held_out = _value(root, "data", "split_dataset_ratio"), _value(root, "data", "val_dataset")
    if ratio and held_out and held_out.value and _is_number(ratio.value) and ratio.value > 0:
        message = f"data.split_dataset_ratio and data.val_dataset (at {held_out.key}) both say what is held out"
        return [Problem("given-twice", message, ratio.key, "keep one of the two")]
    return []


def _output(root: Node) -> list[Problem]:
    output = root.child("output_dir")
    if output and isinstance(output.value, str) and output.value.strip().rstrip("/") in ("", "."):
        message = f"output_dir must name a folder of its own, got {describe(output.value)}"
        return [Problem("wrong-value", message, output.place, "write a new folder, or remove the key")]
    return []


def _shorthands(shorthands: Mapping[str, Node]) -> list[Problem]:
    problems = []
    task = shorthands.get("data.task_type")
    if task and task.value != "preference":
        message = f"data.task_type must be 'preference', got {describe(task.plain())}."
        problems.append(Problem("wrong-value", message, task.place, "write train.stage instead: pt, sft or dpo"))
    for key in ("train.lora_rank", "train.lora_alpha", "train.beta"):
        node = shorthands.get(key)
        if node and not _is_number(node.value):
            message = f"{key} must be a number, got {describe(node.plain())}"
            problems.append(Problem("wrong-value", message, node.place, "write a number"))
    return problems


def _data_paths(root: Node) -> list[Problem]:
    """Say what is wrong with `#N` behind a path."""
    problems = []
    for name in ("dataset", "val_dataset"):
        node = _value(root, "data", name)
        items = node.value if node and isinstance(node.value, list) else [node] if node else []
        for item in items:
            path, mark, count = item.value.rpartition("#") if isinstance(item.value, str) else ("", "", "")
            if mark and path and count.lstrip("-").isdecimal() and int(count) <= 0:
                message = f"data.{name} asks for {count} rows; #N takes N rows, N > 0"
                problems.append(Problem("wrong-value", message, item.place, f"write {path} for all rows"))
    return problems


def _secrets(root: Node) -> list[Problem]:
    """Refuse keys and passwords: the run directory keeps the run file, and reports show it."""
    problems = []
    for key, node in root.walk():
        if isinstance(node.value, str) and node.value and _SECRET.search(key.rpartition(".")[2]):
            message = f"{key} looks like a secret; a run file is copied into the run directory, and shown in reports."
            next_step = "export it as an environment variable, and name that with api_key_env"
            problems.append(Problem("secret-in-file", message, _without_text(node.key), next_step))
    return problems


def _without_text(place: Place) -> Place:
    """Return a place whose line is not shown."""
    return replace(place, text="")
