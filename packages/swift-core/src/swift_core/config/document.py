"""A run file as a tree in which every key and every value knows its place.

YAML 1.2: `1e-4` is a number and `no` is text. ruamel.yaml composes the nodes; the tree is built here, because a run
file is plain data (text, numbers, booleans, lists, mappings) and each repeated key is reported, not only the first.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode

from swift_core.config.syntax import syntax_problem
from swift_core.errors import Place, Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Iterator

Source = Literal["file", "command line"]

MAX_NODES = 50_000
"""Values in one run file, after YAML aliases are written out."""

MAX_SHOWN_LINE = 200
"""Characters of an offending line that are printed; longer lines would hide the message."""

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp"))


@dataclass(slots=True)
class Node:
    """A value of the run file: a scalar, a list of nodes, or a mapping of nodes."""

    value: Any
    place: Place
    """Where the value starts."""

    key: Place
    """Where the key that names it starts; the value's own place for items of a list."""

    source: Source = "file"
    note: str = ""
    """What became of it: `alias of train.loss_kwargs`."""

    def plain(self) -> Any:
        """Return the value without places."""
        if isinstance(self.value, dict):
            return {name: child.plain() for name, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def child(self, step: str | int) -> Node | None:
        """Return the node under a key or an index, or None."""
        if isinstance(self.value, dict) and isinstance(step, str):
            return self.value.get(step)
        if isinstance(self.value, list) and isinstance(step, int) and 0 <= step < len(self.value):
            child: Node = self.value[step]
            return child
        return None

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Node]]:
        """Yield every node below this one with its dotted key."""
        children: Iterator[tuple[Any, Node]] = iter(())
        if isinstance(self.value, dict):
            children = iter(self.value.items())
        elif isinstance(self.value, list):
            children = iter(enumerate(self.value))
        for step, child in children:
            name = f"{prefix}.{step}" if prefix else str(step)
            yield name, child
            yield from child.walk(name)


class Composer:
    """Builds the tree of one text and collects the problems met on the way."""

    def __init__(self, text: str, file: str, *, source: Source = "file", first_line: int = 1, offset: int = 0) -> None:
        """Take `text`, which starts at column `offset` + 1 of line `first_line` of `file`."""
        self.problems: list[Problem] = []
        self._text = text
        self._lines = text.splitlines()
        self._file = file
        self._source: Source = source
        self._first_line = first_line
        self._offset = offset
        self._shown: str | None = None
        self._num_nodes = 0
        self._open: set[int] = set()
        self._yaml = YAML(typ="safe", pure=True)

    def show(self, line: str) -> None:
        """Print `line` under messages instead of the line of the text (for a value of the command line)."""
        self._shown = line

    def compose(self) -> Node | None:
        """Return the tree, or None for a text without a value; raises SwiftError when it is no YAML."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ReusedAnchorWarning)  # YAML allows it: the nearest one above counts
                node = self._yaml.compose(self._text)
        except RecursionError:
            raise SwiftError(
                self._problem("yaml-syntax", "the lists or mappings are nested too deeply", 0, 0)
            ) from None
        except (YAMLError, ValueError) as error:  # ValueError: an escape such as "\U00110000" that is no character
            raise SwiftError(syntax_problem(error, self.place, self._text)) from None
        return None if node is None else self._build(node, key=None)

    def place(self, line: int, column: int) -> Place:
        """Return the place of a mark; `line` and `column` count from zero as in ruamel."""
        text = self._shown
        if text is None:
            text = self._lines[line] if line < len(self._lines) else ""
        column += self._offset if line == 0 else 0
        return Place(self._file, line + self._first_line, column + 1, shown_line(text, column))

    def _problem(self, code: str, message: str, line: int, column: int, next_step: str = "") -> Problem:
        return Problem(code, message, self.place(line, column), next_step)

    def _build(self, node: YamlNode, key: Place | None) -> Node:
        place = self.place(node.start_mark.line, node.start_mark.column)
        if key and isinstance(node, ScalarNode) and not node.value and not node.style:
            place = key  # nothing was written: ruamel's mark is on what follows
        self._num_nodes += 1
        if self._num_nodes > MAX_NODES:
            raise SwiftError(Problem("yaml-syntax", f"the file has more than {MAX_NODES} values", place))
        if id(node) in self._open:
            raise SwiftError(Problem("yaml-syntax", "an alias contains itself", place, "write the value out"))
        self._open.add(id(node))
        try:
            value = self._value(node, place)
        except RecursionError:
            message = "the lists or mappings are nested too deeply"
            raise SwiftError(Problem("yaml-syntax", message, place)) from None
        finally:
            self._open.discard(id(node))
        return Node(value, place, key or place, self._source)

    def _value(self, node: YamlNode, place: Place) -> Any:
        if isinstance(node, MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node)
        if isinstance(node, SequenceNode) and node.tag == _TAG + "seq":
            return [self._build(item, None) for item in node.value]
        if isinstance(node, ScalarNode) and node.tag in _PLAIN_TAGS:
            return self._scalar(node, place)
        self.problems.append(
            Problem("yaml-tag", f"the YAML tag {str(node.tag).replace(_TAG, '!!')} is not allowed here", place,
                    "write plain text, numbers, true, false, lists or mappings")
        )  # fmt: skip
        return None

    def _scalar(self, node: ScalarNode, place: Place) -> Any:
        if node.tag in (_TAG + "str", _TAG + "timestamp"):  # YAML 1.2 has no dates
            return node.value
        try:
            return self._yaml.constructor.construct_object(node)
        except (YAMLError, ValueError):
            kind = str(node.tag).removeprefix(_TAG)
            self.problems.append(Problem("yaml-syntax", f"{node.value[:40]!r} cannot be read as {kind}", place))
            return None

    def _mapping(self, node: MappingNode) -> dict[str, Node]:
        merged: dict[str, Node] = {}
        own: dict[str, Node] = {}
        for key_node, value_node in node.value:
            place = self.place(key_node.start_mark.line, key_node.start_mark.column)
            if key_node.tag == _TAG + "merge":
                merged = {**self._merge(value_node, place), **merged}
                continue
            if not self._is_text(key_node):
                self.problems.append(_not_text(key_node, place))
                continue
            name = key_node.value
            child = self._build(value_node, place)
            if name in own:
                self.problems.append(_repeated(name, place, own[name].key))
                continue
            own[name] = child
        return {**merged, **own}

    def _merge(self, node: YamlNode, place: Place) -> dict[str, Node]:
        sources = node.value if isinstance(node, SequenceNode) else [node]
        merged: dict[str, Node] = {}
        for source in sources:
            if not isinstance(source, MappingNode):
                message = "'<<' takes a mapping or an alias of one"
                self.problems.append(
                    Problem("yaml-syntax", message, place, "write `<<: *name` with `&name` on a mapping")
                )
                continue
            built = self._build(source, None).value or {}
            merged = {**built, **merged}  # as in YAML 1.1, the first source wins
        return merged

    @staticmethod
    def _is_text(node: YamlNode) -> bool:
        return isinstance(node, ScalarNode) and node.tag in (_TAG + "str", _TAG + "timestamp")


def shown_line(text: str, column: int = 0) -> str:
    """Return a line as messages print it: clean, and not endless."""
    return printable(text)[:MAX_SHOWN_LINE].rstrip() if column < MAX_SHOWN_LINE else ""


def printable(text: str) -> str:
    """Return `text` without what a terminal would not show as one character."""
    return "".join(character if character.isprintable() else " " if character == "\t" else "?" for character in text)


def _not_text(node: YamlNode, place: Place) -> Problem:
    shown = f"{node.value!r}" if isinstance(node, ScalarNode) else "a list or a mapping"
    return Problem("yaml-key", f"a key must be text, got {shown}", place, "write a name, or put the key in quotes")


def _repeated(name: str, place: Place, first: Place) -> Problem:
    message = f"the key {name!r} is given twice; the first is at {first}"
    return Problem("duplicate-key", message, place, "keep one of the two lines")
