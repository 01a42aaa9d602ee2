"""Values of the command line: `train.loss_kwargs.beta=0.2`, read as YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.config.document import Composer, Node, shown_line
from swift_core.errors import Place, Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE = "command line"
_FORM = "write key=value, such as train.max_steps=100"


def parse_overrides(overrides: Sequence[str]) -> tuple[list[Node], list[Problem]]:
    """Return one tree per override, each a mapping with one value in it, and what is wrong with the others."""
    trees: list[Node] = []
    problems: list[Problem] = []
    for number, text in enumerate(overrides, start=1):
        tree, mistakes = _parsed(text, number)
        trees += [tree] if tree else []
        problems += mistakes
    return trees, problems


def read_values(pairs: Sequence[str]) -> dict[str, Any]:
    """Return `key=value` pairs of the command line as one mapping, their values read as YAML.

    Raises:
        SwiftError: Everything that is wrong with them.
    """
    trees, problems = parse_overrides(pairs)
    for tree in trees[1:]:
        merge(trees[0], tree, problems)
    if problems:
        raise SwiftError(problems)
    values: dict[str, Any] = trees[0].plain() if trees else {}
    return values


def _parsed(text: str, number: int) -> tuple[Node | None, Sequence[Problem]]:
    try:
        return _parse(text, number), ()
    except SwiftError as error:
        return None, error.problems


def merge(base: Node, override: Node, problems: list[Problem]) -> None:
    """Put the one value of `override` into `base`, in place; a value that is not a mapping is replaced.

    An override that meets another override at the same key is a problem: one of the two would do nothing.
    """
    for name, new in override.value.items():
        old = base.value.get(name)
        if old is None or (old.value is None and isinstance(new.value, dict)):
            base.value[name] = new
        elif _descends(new) and isinstance(old.value, list):
            _merge_list(old, new, problems)
        elif _descends(new) and isinstance(old.value, dict):
            merge(old, new, problems)
        elif _descends(new):
            message = f"{name!r} is no mapping (see {old.place}), so no key can be set in it"
            problems.append(Problem("override-form", message, new.key, f"mend the value of {name!r} first"))
        elif old.source == "command line":
            message = f"{name!r} is given twice on the command line; the first is at {old.key}"
            problems.append(Problem("given-twice", message, new.key, "keep one of the two"))
        else:
            base.value[name] = new


def _descends(node: Node) -> bool:
    """Say whether the override names a key below this one (`{}` and `{a: 1}` as values replace)."""
    return isinstance(node.value, dict) and len(node.value) == 1 and node.place == node.key


def _merge_list(old: Node, new: Node, problems: list[Problem]) -> None:
    ((step, child),) = new.value.items()
    index = int(step) if step.isascii() and step.isdigit() else -1
    if not 0 <= index < len(old.value):
        have = f"has {len(old.value)} items, counted from 0" if old.value else "is empty"
        message = f"{step!r} is no item of this list, which {have}"
        problems.append(Problem("unknown-item", message, child.key, "give the number of an item, or the whole list"))
        return
    item = old.value[index]
    if isinstance(item.value, dict) and _descends(child):
        merge(item, child, problems)
    else:
        old.value[index] = child


def _parse(text: str, number: int) -> Node:
    path, equals, value = text.partition("=")
    shown = shown_line(text)
    start = Place(FILE, number, 1, shown)
    if not equals:
        raise SwiftError(Problem("override-form", f"{text!r} is no override: it has no '='", start, _FORM))
    steps = path.split(".")
    if not all(step and step == step.strip() for step in steps):
        why = "it names no key" if not path.strip() else f"{path!r} is not a dotted key"
        raise SwiftError(Problem("override-form", f"{text!r} is no override: {why}", start, _FORM))
    leaf = _value(value, text, number, len(path) + 1)
    column = len(path) + 1
    for depth, step in reversed(list(enumerate(steps))):
        column -= len(step) + 1
        key = Place(FILE, number, column + 1, shown if column < len(shown) else "")
        leaf.key = key
        if depth < len(steps) - 1:
            leaf.place = key
        wrapped: dict[str, Any] = {step: leaf}
        leaf = Node(wrapped, key, key, "command line")
    return leaf


def _value(value: str, text: str, number: int, offset: int) -> Node:
    composer = Composer(value, FILE, source="command line", first_line=number, offset=offset)
    composer.show(text)
    node = composer.compose()
    if composer.problems:
        raise SwiftError(composer.problems)
    if node is None:
        place = Place(FILE, number, offset + 1, shown_line(text, offset))
        message = f"{text!r} gives no value"
        raise SwiftError(Problem("override-form", message, place, "write a value after '=', or leave the override out"))
    return node
