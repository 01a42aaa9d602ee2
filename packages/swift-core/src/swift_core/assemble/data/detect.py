"""Which format the rows of a data set are of. All rows of one data set are of one format; nothing is guessed."""

from __future__ import annotations

import difflib
import traceback
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from swift_core.assemble.data.media import COLUMNS, with_media
from swift_core.assemble.data.rows import Item, Mistakes, Row
from swift_core.contracts.data import Record
from swift_core.errors import Place, Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swift_core.assemble.data.sources import Source
    from swift_core.contracts.data import DatasetFormat
    from swift_core.contracts.handover import RunPlan

_MEMBERS = ("columns", "matches", "record")
_LIST = "swift plugins list --kind dataset"


@dataclass(frozen=True, slots=True)
class Detected:
    """The format of a data set, and how that is known."""

    name: str
    format: DatasetFormat
    because: str


@dataclass(frozen=True, slots=True)
class Formats:
    """The formats rows may have, and how columns are renamed before they are looked at."""

    by_name: Mapping[str, DatasetFormat]
    columns: Mapping[str, str]
    """By the name a format knows, the name in the data."""

    named: bool
    """Whether the run file names the format."""

    titles: Mapping[str, str] = field(default_factory=dict)
    """By name, what messages call a format: with who brought it."""

    def called(self, name: str) -> str:
        """Return what messages call a format."""
        return self.titles.get(name, f"dataset format {name!r}")

    def renamed(self, row: Row) -> dict[str, Any]:
        """Return the row's values under the names that formats know; columns without a value are left out."""
        taken = {source for source in self.columns.values() if source in row.values}
        values = {name: value for name, value in row.values.items() if name not in taken}
        values |= {target: row.values[source] for target, source in self.columns.items() if source in taken}
        nullable = {name for known in self.by_name.values() for name in getattr(known, "nullable", ())}
        return {name: value for name, value in values.items() if value is not None or name in nullable}


def formats_of(plan: RunPlan) -> Formats:
    """Build the formats of `plan`; raise SwiftError when `data.columns` renames to a name that none of them knows."""
    by_name: dict[str, DatasetFormat] = {part.plugin.name: plan.create(part) for part in plan.formats}
    for part in plan.formats:
        if lacking := [name for name in _MEMBERS if not hasattr(by_name[part.plugin.name], name)]:
            title = part.plugin.in_full.partition(" ")[2]
            message = f"the dataset format {title} has no {lacking[0]}; it needs {', '.join(_MEMBERS)}."
            place = plan.config.place("data.format")
            raise SwiftError(Problem("broken-plugin", message, place, part.plugin.info_command))
    columns = plan.settings.data.columns
    known = sorted({*COLUMNS, *(column for known_format in by_name.values() for column in known_format.columns)})
    unknown = [name for name in columns if name not in known]
    if unknown:
        raise SwiftError(_unknown_column(plan, name, known) for name in unknown)
    titles = {part.plugin.name: f"dataset format {part.plugin.in_full.partition(' ')[2]}" for part in plan.formats}
    return Formats(by_name, columns, plan.settings.data.format != "auto", titles)


def _unknown_column(plan: RunPlan, name: str, known: Sequence[str]) -> Problem:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return Problem(
        "unknown-column",
        f"data.columns gives a column the name {name!r}, which no format reads.{hint}",
        plan.config.place(f"data.columns.{name}"),
        f"write NAME: COLUMN with one of these names: {', '.join(known)}",
    )


def check_columns(plan: RunPlan, sources: Sequence[Source]) -> None:
    """Raise SwiftError for a column in `data.columns` that no row of any data set has."""
    present = {name for source in sources for row in source.rows for name in row.values}
    problems = []
    for target, column in plan.settings.data.columns.items():
        if column not in present:
            close = difflib.get_close_matches(column, sorted(present), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            message = f"data.columns reads {column!r} as {target!r}, and no row has a column {column!r}.{hint}"
            next_step = f"columns there are: {', '.join(sorted(present))}"
            problems.append(Problem("missing-column", message, plan.config.place(f"data.columns.{target}"), next_step))
    if problems:
        raise SwiftError(problems)


def detect(source: Source, formats: Formats, place: Place | None) -> Detected:
    """Return the one format that all rows of `source` are of.

    Raises:
        SwiftError: `unknown-format`, `ambiguous-format`, `mixed-formats`, or `not-of-format` where one is named.
    """
    fitting = [_fitting(formats, row) for row in source.rows]
    names = set(fitting)
    if len(names) == 1 and len(fitting[0]) == 1:
        name = fitting[0][0]
        evidence = getattr(formats.by_name[name], "evidence", None) or ", ".join(formats.by_name[name].columns)
        because = "data.format names it" if formats.named else f"every row has {evidence}"
        return Detected(name, formats.by_name[name], because)
    if formats.named:
        raise SwiftError(_not_of_format(source, formats, fitting))
    unclear = next((index for index, names in enumerate(fitting) if len(names) != 1), None)
    if unclear is None:
        raise SwiftError(_mixed(source, fitting))
    raise SwiftError(_unclear(source.rows[unclear], formats, fitting[unclear]))


def fits(detected: Detected, formats: Formats, row: Row) -> bool:
    """Say whether `row` is of the detected format, and of no other."""
    return _fitting(formats, row) == (detected.name,)


def records(source: Source, detected: Detected, formats: Formats, mistakes: Mistakes) -> list[Item]:
    """Return the rows in common form; what is wrong in a row goes to `mistakes`."""
    items = []
    for row in source.rows:
        try:
            values = formats.renamed(row)
            made = _record(detected, formats, values, row)
            record = with_media(made, values)
        except ValueError as error:
            message = f"The row is no {detected.name} row: {error}."
            mistakes.add("malformed-row", message, row.place, "mend the row, or remove it")
            continue
        items.append(Item(row, replace(record, columns={**row.values, **record.columns})))
    return items


def _record(detected: Detected, formats: Formats, values: Mapping[str, Any], row: Row) -> Record:
    """Return the record of a row; raise SwiftError when the format breaks, ValueError when the row is wrong."""
    try:
        record = detected.format.record(values, row.where)
    except ValueError:
        raise
    except Exception as error:  # whatever a stranger's code raises is told with the row
        raise _failed(formats.called(detected.name), f"raised {_cause(error)}", row) from error
    if not isinstance(record, Record):
        what = f"returned {type(record).__name__} for a row, and a format returns a Record"
        raise _failed(formats.called(detected.name), what, row)
    return record


def _cause(error: Exception) -> str:
    """Return what a format raised, and where."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno})"


def _failed(title: str, what: str, row: Row) -> SwiftError:
    message = f"the {title} {what}."
    return SwiftError(Problem("format-failed", message, row.place, "give it another row, or mend the plugin"))


def _fitting(formats: Formats, row: Row) -> tuple[str, ...]:
    values = formats.renamed(row)
    return tuple(name for name, known in formats.by_name.items() if _matches(formats, name, known, values, row))


def _matches(formats: Formats, name: str, known: DatasetFormat, values: Mapping[str, Any], row: Row) -> bool:
    try:
        return bool(known.matches(values))
    except Exception as error:  # whatever a stranger's code raises is told with the row
        raise _failed(
            formats.called(name), f"raised {_cause(error)} when it was asked whether it reads", row
        ) from error


def _not_of_format(source: Source, formats: Formats, fitting: Sequence[tuple[str, ...]]) -> Problem:
    (name,) = formats.by_name
    wrong = [row for row, names in zip(source.rows, fitting, strict=True) if not names]
    evidence = getattr(formats.by_name[name], "evidence", None) or ", ".join(formats.by_name[name].columns)
    count = "The row is" if len(wrong) == 1 else f"{len(wrong):,} rows, from here on, are"
    return Problem(
        "not-of-format",
        f"{count} not of the format {name!r}, whose rows have {evidence}; this row has {_columns(wrong[0])}.",
        wrong[0].place,
        "remove data.format to have it detected, or rename columns by data.columns",
    )


def _mixed(source: Source, fitting: Sequence[tuple[str, ...]]) -> Problem:
    runs = []
    position = 0
    for names, group in groupby(fitting):
        length = len(list(group))
        first, last = source.rows[position].line, source.rows[position + length - 1].line
        runs.append((names[0], f"{first}" if length == 1 else f"{first} to {last}", position))
        position += length
    shown = ", ".join(f"{lines} {name}" for name, lines, _ in runs[:4]) + (", ..." if len(runs) > 4 else "")
    return Problem(
        "mixed-formats",
        f"{source.reference} has rows of different formats: rows {shown}.",
        source.rows[runs[1][2]].place,
        "put each format into a file of its own, and list the files under data.dataset",
    )


def _unclear(row: Row, formats: Formats, names: tuple[str, ...]) -> Problem:
    if names:
        message = f"The row can be read as {' and as '.join(names)}."
        return Problem("ambiguous-format", message, row.place, f"set data.format to {' or '.join(names)}")
    message = f"No format reads this row; it has {_columns(row)}."
    next_step = f"name its columns by data.columns, such as {{prompt: question, completion: answer}} ({_LIST})"
    return Problem("unknown-format", message, row.place, next_step)


def _columns(row: Row) -> str:
    names = [name for name, value in row.values.items() if value is not None]
    return f"the columns {', '.join(names)}" if names else "no columns"
