"""A row of data with its place, and what is wrong in rows, collected so that many mistakes are told at once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swift_core.errors import Place, Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swift_core.contracts.data import Record

_SHOWN_CHARACTERS = 160
_SHOWN_PROBLEMS = 3
"""How many rows are told of one kind of mistake; the others are counted."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row as read."""

    values: Mapping[str, Any]
    file: str
    line: int
    """Line of the file, or number of the row where the file has no lines; from one."""

    @property
    def where(self) -> str:
        """`file.jsonl:17`."""
        return f"{self.file}:{self.line}"

    @property
    def place(self) -> Place:
        """The row's place, with its start as text."""
        return Place(self.file, self.line, 1, shown(json.dumps(self.values, ensure_ascii=False, default=str)))


@dataclass(frozen=True, slots=True)
class Item:
    """A row in common form."""

    row: Row
    record: Record


def shown(text: str) -> str:
    """Return the start of `text` on one line."""
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


@dataclass(slots=True)
class Mistakes:
    """Problems found in rows, by kind."""

    found: dict[str, list[Problem]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, code: str, message: str, place: Place, next_step: str) -> None:
        """Keep a problem; of each code the first few are kept and all are counted."""
        kept = self.found.setdefault(code, [])
        self.counts[code] = self.counts.get(code, 0) + 1
        if len(kept) < _SHOWN_PROBLEMS:
            kept.append(Problem(code, message, place, next_step))

    def extend(self, other: Mistakes) -> None:
        """Keep the problems of other rows too; of each code the first few."""
        for code, problems in other.found.items():
            kept = self.found.setdefault(code, [])
            kept += problems[: max(_SHOWN_PROBLEMS - len(kept), 0)]
            self.counts[code] = self.counts.get(code, 0) + other.counts[code]

    def raise_any(self) -> None:
        """Raise SwiftError with everything found; do nothing when nothing was."""
        problems = [problem for code, kept in self.found.items() for problem in self._with_rest(code, kept)]
        if problems:
            raise SwiftError(problems)

    def _with_rest(self, code: str, kept: list[Problem]) -> list[Problem]:
        rest = self.counts[code] - len(kept)
        if not rest:
            return kept
        last = kept[-1]
        rows = "row is" if rest == 1 else "rows are"
        message = f"{last.message} {rest:,} more {rows} wrong in this way."
        return [*kept[:-1], Problem(last.code, message, last.place, last.next_step)]
