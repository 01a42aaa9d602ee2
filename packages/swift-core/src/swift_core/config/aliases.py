"""Other spellings that a run file may use, and what they mean here.

A renamed key is moved to its own name. A shorthand (`train.lora_rank`) is set aside: only the chosen parts can say
which option it means, so `resolve/` settles it. One meaning given twice is a problem that names both places.
"""

from __future__ import annotations

from dataclasses import dataclass

from swift_core.config.document import Node
from swift_core.errors import Problem


@dataclass(frozen=True, slots=True)
class Rename:
    """A key that is another key."""

    written: tuple[str, ...]
    means: tuple[str, ...]


RENAMES = (
    Rename(("training_args",), ("train",)),
    Rename(("train", "loss_config"), ("train", "loss_kwargs")),
    Rename(("train", "quantization_bit"), ("model", "quantization_bit")),
    Rename(("train", "dtype"), ("model", "dtype")),
    Rename(("data", "dataset_name"), ("data", "dataset")),
    Rename(("device", "num_gpus"), ("device", "num_processes")),
)
"""In this order: a section is renamed before the keys in it."""

SHORTHANDS = (("train", "lora_rank"), ("train", "lora_alpha"), ("train", "beta"), ("data", "task_type"))
"""Keys that the chosen parts give a meaning."""


def rename_aliases(root: Node, problems: list[Problem]) -> None:
    """Move every renamed key of `root` to its own name, in place, and note on it how it was written."""
    if not isinstance(root.value, dict):
        return
    for rename in RENAMES:
        section = root if len(rename.written) == 1 else root.child(rename.written[0])
        if section is None or not isinstance(section.value, dict) or rename.written[-1] not in section.value:
            continue
        node = section.value.pop(rename.written[-1])
        if not section.value and section is not root and section.source == "command line":
            del root.value[rename.written[0]]  # the override names nothing else in this section
        _move(root, node, rename, problems)


def take_shorthands(root: Node) -> dict[str, Node]:
    """Remove the shorthands from `root`, in place, and return them by dotted key; `device.num_gpus` is among them."""
    taken: dict[str, Node] = {}
    for section_name, name in SHORTHANDS:
        section = root.child(section_name)
        if section is not None and isinstance(section.value, dict) and name in section.value:
            taken[f"{section_name}.{name}"] = section.value.pop(name)
    device = root.child("device")
    processes = device.child("num_processes") if device else None
    if processes and processes.note.startswith("written as device.num_gpus"):
        taken["device.num_gpus"] = processes
    return taken


def _move(root: Node, node: Node, rename: Rename, problems: list[Problem]) -> None:
    written, means = ".".join(rename.written), ".".join(rename.means)
    target = root
    for step in rename.means[:-1]:
        child = target.value.get(step)
        if child is None or child.value is None:
            child = target.value[step] = Node({}, node.key, node.key, node.source, note=f"made by {written}")
        if not isinstance(child.value, dict):
            return  # the section is no mapping: that is said elsewhere
        target = child
    other = target.value.get(rename.means[-1])
    if other is not None:
        message = f"{written!r} means {means!r}, which is given at {other.key}"
        problems.append(Problem("given-twice", message, node.key, "keep one of the two"))
        return
    node.note = f"written as {written}"
    target.value[rename.means[-1]] = node
