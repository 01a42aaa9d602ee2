"""Rows of JSON, JSONL, CSV, TSV and Parquet files, each with its line."""

from __future__ import annotations

import csv
import json
import re
from typing import TYPE_CHECKING, Any

from swift_core.assemble.data.rows import Mistakes, Row, shown
from swift_core.errors import Place, Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_SPACE = re.compile(r"\s*")
_LONGEST_CELL = 2**31 - 1


def read_file(path: Path, name: str) -> list[Row]:
    """Return the rows of a file, called `name` in messages; raise SwiftError with every row that cannot be read."""
    if path.suffix == ".parquet":
        return _parquet(path, name)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SwiftError(
            Problem(
                "not-utf8",
                f"{name} is not UTF-8 text: byte {error.start} cannot be read.",
                Place(name, 1, 1),
                "save the file as UTF-8",
            )
        ) from error
    mistakes = Mistakes()
    if path.suffix in (".csv", ".tsv"):
        rows = list(_table(text, name, "\t" if path.suffix == ".tsv" else ",", mistakes))
    elif path.suffix == ".json" and text.lstrip()[:1] == "[":
        rows = list(_array(text, name, mistakes))
    else:
        rows = list(_lines(text, name, mistakes))
    mistakes.raise_any()
    return rows


def _lines(text: str, name: str, mistakes: Mistakes) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            _not_json(mistakes, error, Place(name, number, error.colno, shown(line)))
            continue
        yield from _checked(value, name, number, mistakes)


def _array(text: str, name: str, mistakes: Mistakes) -> Iterator[Row]:
    """Yield the rows of a JSON array one by one, so that each keeps the line it starts on."""
    decoder, line, counted = json.JSONDecoder(), 1, 0
    position = _end_of_space(text, text.index("[") + 1)
    while text[position : position + 1] != "]":
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, position = decoder.raw_decode(text, position)
            position = _after_comma(text, position)
        except json.JSONDecodeError as error:
            lines = text.split("\n")
            bad_line = lines[error.lineno - 1] if error.lineno <= len(lines) else ""
            _not_json(mistakes, error, Place(name, error.lineno, error.colno, shown(bad_line)))
            return
        yield from _checked(value, name, line, mistakes)


def _after_comma(text: str, position: int) -> int:
    """Return where the next row starts, or the closing bracket stands; raise JSONDecodeError when neither follows."""
    position = _end_of_space(text, position)
    if text[position : position + 1] == ",":
        following = _end_of_space(text, position + 1)
        if text[following : following + 1] != "]":
            return following
    elif text[position : position + 1] == "]":
        return position
    raise json.JSONDecodeError("expected a comma and another row, or the closing bracket", text, position)


def _end_of_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _not_json(mistakes: Mistakes, error: json.JSONDecodeError, place: Place) -> None:
    mistakes.add("malformed-row", f"This is not valid JSON: {error.msg}.", place, "mend the row, or remove it")


def _checked(value: Any, name: str, line: int, mistakes: Mistakes) -> Iterator[Row]:
    if isinstance(value, dict):
        yield Row(value, name, line)
        return
    kind = {list: "a list", str: "text", type(None): "null"}.get(type(value), "a number")
    place = Place(name, line, 1, shown(json.dumps(value, ensure_ascii=False)))
    message = f"A row must be an object with named columns, and this one is {kind}."
    mistakes.add("malformed-row", message, place, 'write one object a row, such as {"text": "..."}')


def _table(text: str, name: str, delimiter: str, mistakes: Mistakes) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    header: list[str] = []
    line = 1
    try:
        for cells in reader:
            start, line = line, reader.line_num + 1
            if not cells:
                continue
            if not header:
                header = cells
            elif len(cells) == len(header):
                yield Row(dict(zip(header, cells, strict=True)), name, start)
            else:
                message = f"The row has {len(cells)} columns, and the first line names {len(header)}."
                next_step = "quote cells that hold the delimiter"
                mistakes.add("malformed-row", message, Place(name, start, 1, shown(delimiter.join(cells))), next_step)
    except csv.Error as error:
        place = Place(name, reader.line_num, 1, "")
        mistakes.add("malformed-row", f"This is not a valid table: {error}.", place, "mend the quotes of the row")


def _parquet(path: Path, name: str) -> list[Row]:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    try:
        values: Sequence[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        message = f"{name} cannot be read as Parquet: {str(error).splitlines()[0].rstrip('.')}."
        raise SwiftError(Problem("malformed-file", message, Place(name, 1, 1), "write the file anew")) from error
    return [Row(row, name, number) for number, row in enumerate(values, start=1)]
