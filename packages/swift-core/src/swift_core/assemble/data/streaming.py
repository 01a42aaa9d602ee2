"""Rows that are read from their files whenever they are gone through: none of them stays in memory.

The first pass over a file counts its rows, detects their format and finds what is wrong in them; later passes read the
same rows again in the same order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swift_core.assemble.data.detect import Detected, Formats, detect, fits, records
from swift_core.assemble.data.media import has_media_column
from swift_core.assemble.data.rows import Item, Mistakes, Row, shown
from swift_core.assemble.data.sources import Source, drawn_indices
from swift_core.config.data_files import data_files
from swift_core.errors import Place, Problem, SwiftError

if TYPE_CHECKING:
    from pathlib import Path

    from swift_core.config.data_files import Reference

STREAMED = (".jsonl", ".parquet")
"""Files whose rows can be read one after the other."""


@dataclass(slots=True)
class Stream:
    """The rows of one data set, in common form."""

    reference: Reference
    formats: Formats
    finish: Any
    """Called with each row after its format was read, and with mistakes; None after one was kept."""

    detected: Detected | None = None
    num_rows: int = 0
    columns: set[str] = field(default_factory=set)
    drawn: frozenset[int] | None = None
    """Which rows are taken, of `path#N`; None takes all."""

    def look(self, see: Callable[[Item], None]) -> None:
        """Go through all rows once; raise SwiftError with everything that is wrong in them."""
        mistakes, first, total = Mistakes(), None, 0
        for row in self._read(mistakes):
            total += 1
            if first is None:
                first = row
                self.detected = detect(Source(self.reference.text, [row]), self.formats, self.reference.place)
            assert self.detected is not None  # of the first row
            if not fits(self.detected, self.formats, row):
                detect(Source(self.reference.text, [first, row]), self.formats, self.reference.place)
            self.columns |= row.values.keys()
        mistakes.raise_any()
        if not total:
            problem = Problem("no-rows", f"{self.reference.text} has no rows.", self.reference.place)
            raise SwiftError(problem)
        self.finish.images.has_column = has_media_column(self.formats.columns, self.columns)
        self._draw(total)
        for item in self._items(mistakes):
            see(item)
        mistakes.raise_any()

    def _draw(self, total: int) -> None:
        _, count = self.reference.split()
        self.num_rows = total if count < 0 else count
        if count >= 0:
            self.drawn = frozenset(drawn_indices(self.reference, total, count))

    def __iter__(self) -> Iterator[Item]:
        mistakes = Mistakes()
        yield from self._items(mistakes)
        mistakes.raise_any()

    def _items(self, mistakes: Mistakes) -> Iterator[Item]:
        assert self.detected is not None  # after a look
        for number, row in enumerate(self._read(mistakes)):
            if self.drawn is None or number in self.drawn:
                for item in records(Source(self.reference.text, [row]), self.detected, self.formats, mistakes):
                    if (finished := self.finish(item, mistakes)) is not None:
                        yield finished

    def _read(self, mistakes: Mistakes) -> Iterator[Row]:
        name, _ = self.reference.split()
        path = self.reference.path(name)
        files = data_files(path) if path.is_dir() else [path]
        for file in files:
            if file.suffix not in STREAMED or not file.is_file():
                what = f"{name} cannot be streamed: rows of {', '.join(STREAMED)} files can be read one by one"
                problem = Problem(
                    "cannot-stream", f"{what}.", self.reference.place, "remove data.streaming, or convert"
                )
                raise SwiftError(problem)
            called = name if file == path else f"{name.rstrip('/')}/{file.name}"
            yield from (_parquet if file.suffix == ".parquet" else _lines)(file, called, mistakes)


@dataclass(frozen=True, slots=True)
class StreamedItems:
    """The training rows of a run, read from their files each time they are gone through."""

    parts: Sequence[Iterable[Item]]
    """The rows of each data set."""

    is_kept: Callable[[Item], bool]
    """Whether a row is trained on, and not held out."""

    order: Callable[[], Iterator[int]] | None
    """Which data set each next row is of; None: one data set after the other."""

    num_rows: int

    def __len__(self) -> int:
        return self.num_rows

    def __iter__(self) -> Iterator[Item]:
        if self.order is None:
            for part in self.parts:
                yield from filter(self.is_kept, part)
            return
        sources = [filter(self.is_kept, part) for part in self.parts]
        for index in self.order():
            item = next(sources[index], None)
            if item is None:
                sources[index] = filter(self.is_kept, self.parts[index])
                item = next(sources[index])
            yield item


def _lines(path: Path, name: str, mistakes: Mistakes) -> Iterator[Row]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                value: Any = json.loads(text) if text.strip() else None
            except UnicodeDecodeError as error:
                problem = Problem("not-utf8", f"{name} is not UTF-8 text: {error.reason}.", Place(name, number, 1))
                raise SwiftError(problem) from error
            except json.JSONDecodeError as error:
                place = Place(name, number, error.colno, shown(text))
                mistakes.add(
                    "malformed-row", f"This is not valid JSON: {error.msg}.", place, "mend the row, or remove it"
                )
                continue
            if isinstance(value, dict):
                yield Row(value, name, number)
            elif text.strip():
                place = Place(name, number, 1, shown(text))
                message = "A row must be an object with named columns."
                mistakes.add("malformed-row", message, place, 'write one object a row, such as {"text": "..."}')


def _parquet(path: Path, name: str, mistakes: Mistakes) -> Iterator[Row]:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    number = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=1024):
            for values in batch.to_pylist():
                number += 1
                yield Row(values, name, number)
    except (pyarrow.ArrowException, OSError) as error:
        message = f"{name} cannot be read as Parquet: {str(error).splitlines()[0].rstrip('.')}."
        raise SwiftError(Problem("malformed-file", message, Place(name, 1, 1), "write the file anew")) from error
