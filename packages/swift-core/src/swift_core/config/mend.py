"""Take a run file as it was probably meant, so that what else is wrong with it can be told at once.

Nothing is ever trained with what is mended here: the mistakes have been found, and will be raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.config.aliases import rename_aliases, take_shorthands
from swift_core.config.document import Node
from swift_core.config.renames import REMARKS
from swift_core.config.schema import normalise, validate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.config.schema import Mistake
    from swift_core.contracts.settings import RunSettings
    from swift_core.errors import Problem

CHOOSERS = frozenset({"stage", "loss_type", "optimizer_type", "lr_scheduler_type", "tuner_strategy", "name"})
"""Keys whose value gives others their meaning: without it, nothing can be said of those."""


def mend(
    root: Node, shorthands: dict[str, Node], mistakes: Sequence[Mistake], file: str
) -> tuple[RunSettings | None, list[Problem]]:
    """Move keys of `root` to where they were meant and drop what is wrong.

    Args:
        root: The file's tree; changed in place.
        shorthands: Those taken from it so far; new ones are added.
        mistakes: What `validate` found.
        file: The run file's name.

    Returns:
        The settings, or None where a missing value, or one that others hang on, cannot be guessed; and what is wrong
        with values that stood under a wrong key.
    """
    if not all(_mend(root, mistake) for mistake in mistakes):
        return None, []
    rename_aliases(root, [])
    normalise(root)
    shorthands |= take_shorthands(root) | shorthands
    settings, more = validate(root, file)
    problems = [mistake.problem for mistake in more if mistake.kind == "value"]
    if settings is None and all(_mend(root, mistake) for mistake in more):
        settings, _ = validate(root, file)
    return settings, problems


def _mend(root: Node, mistake: Mistake) -> bool:
    """Mend one mistake; say whether that was possible."""
    *parents, name = mistake.path or ("",)
    if mistake.kind == "missing" or (mistake.kind == "value" and name in CHOOSERS):
        return False
    if isinstance(name, int):
        return False  # an item of a list: its neighbours would change their numbers
    parent: Node | None = root
    for step in parents:
        parent = parent.child(step) if parent else None
    if parent is None or not isinstance(parent.value, dict) or name not in parent.value:
        return False
    node = parent.value.pop(name)
    if mistake.meant and name.lower() not in REMARKS:  # a remark says that the value is written otherwise, too
        _put(root, mistake.meant.split("."), node)
    return True


def _put(root: Node, path: list[str], node: Node) -> None:
    """Put `node` where it was meant to stand, unless something stands there."""
    target = root
    for step in path[:-1]:
        if not isinstance(target.value, dict):
            return
        target = target.value.setdefault(step, Node({}, node.place, node.key, node.source))
        if target.value is None:
            target.value = {}
    if isinstance(target.value, dict):
        target.value.setdefault(path[-1], node)
