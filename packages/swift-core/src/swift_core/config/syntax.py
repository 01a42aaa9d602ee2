"""What ruamel.yaml says about a broken text, in words of the person who wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from swift_core.errors import Place, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

_WORDS = (
    ("cannot start any token", "`", "a value cannot start with '`'", "put the value in quotes"),
    ("cannot start any token", "@", "a value cannot start with '@'", "put the value in quotes"),
    ("cannot start any token", "%", "a value cannot start with '%'", "put the value in quotes"),
    ("mapping values are not allowed", "", "a ':' stands where no key can be",
     "indent the line like its neighbours, or put text that contains ': ' in quotes"),
    ("could not find expected ':'", "", "a key has no ':' after it", "write `key: value`"),
    ("expected <block end>", "", "the indentation does not fit the lines above",
     "give all keys of a section the same number of spaces"),
    ("expected ',' or '}'", "", "the '{' of line OPENED is not closed, or a ',' is missing",
     "write `{key: value, key: value}`"),
    ("expected ',' or ']'", "", "the '[' of line OPENED is not closed, or a ',' is missing", "write `[first, second]`"),
    ("expected the node content", "", "a value is missing or cannot be read here", "check brackets and commas"),
    ("unexpected end of stream", "", "the quote that starts here is never closed", "close the quote"),
    ("undefined alias", "", "an alias `*name` is used, but no value is marked `&name` above it", "write the value out"),
    ("duplicate anchor", "", "the same anchor `&name` is given twice", "rename one of them"),
    ("another document", "", "a run file holds one document, and a second one starts here",
     "remove the line `---`"),
    ("special characters are not allowed", "", "the file contains a control character", "remove it"),
    ("block sequence entries are not allowed", "", "a list item `- ` cannot stand here",
     "put the list on its own lines under the key"),
    ("unknown escape character", "", "a backslash in double quotes starts an unknown escape",
     "use single quotes for text with backslashes"),
    ("sequence entries are not allowed", "", "a list item `- ` cannot stand here",
     "put the list on its own lines under the key"),
    ("undefined tag handle", "", "a value cannot start with '!'", "put the value in quotes"),
)  # fmt: skip


def syntax_problem(error: Exception, place: Callable[[int, int], Place], text: str) -> Problem:
    """Return one problem for a YAML error; `place` turns a line and a column, from zero, into a `Place`."""
    line, column = _mark(error, text)
    said = str(getattr(error, "problem", "") or getattr(error, "reason", "") or error)
    here = place(line, column)
    lines = text.splitlines()
    blank = lines[line][: column + 1] if line < len(lines) else ""
    if "\t" in blank and not blank.strip():
        message = "a tab is used for indentation, and YAML allows only spaces there"
        return Problem("yaml-syntax", message, here, "replace the tab by spaces")
    for part, character, message, next_step in _WORDS:
        if part in said and (not character or f"'{character}'" in said):
            return Problem("yaml-syntax", message.replace("OPENED", _opened(error, place)), here, next_step)
    return Problem(
        "yaml-syntax", f"this is not valid YAML: {_one_line(said)}", here, "check this line and the one above"
    )


def _mark(error: Exception, text: str) -> tuple[int, int]:
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        if "unexpected end of stream" in str(error.problem) and error.context_mark:
            mark = error.context_mark
        if mark is not None:
            return mark.line, mark.column
    if isinstance(error, ReaderError) and isinstance(error.position, int):
        before = text[: error.position]
        return before.count("\n"), len(before) - (before.rfind("\n") + 1)
    return 0, 0


def _opened(error: Exception, place: Callable[[int, int], Place]) -> str:
    """Return the line on which what is not closed was opened."""
    mark = getattr(error, "context_mark", None)
    return str(place(mark.line, mark.column).line) if mark else "?"


def _one_line(said: str) -> str:
    return " ".join(said.split())[:160]
