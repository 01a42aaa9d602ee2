"""The rows that a data key stands for."""

from __future__ import annotations

import random
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.assemble.data.files import read_file
from swift_core.assemble.data.rows import Row
from swift_core.config.data_files import SUFFIXES, data_files
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.config.data_files import Reference

_HUB_ID = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?::(?P<subset>[\w.-]+))?\Z")


@dataclass(frozen=True, slots=True)
class Source:
    """One data set of the run file, read."""

    reference: str
    """As written."""

    rows: Sequence[Row]


def needs_network(reference: Reference) -> bool:
    """Say whether the reference can only be a hub id."""
    name, _ = reference.split()
    return not name.startswith("demo:") and not reference.path(name).exists() and _HUB_ID.match(name) is not None


def read(reference: Reference) -> Source:
    """Return the rows; raise SwiftError when they cannot be had."""
    name, count = reference.split()
    rows = _all_rows(reference, name)
    if not rows:
        raise _problem(reference, "no-rows", f"{name} has no rows.", "give a file with at least one row")
    return Source(reference.text, rows if count < 0 else [rows[i] for i in drawn_indices(reference, len(rows), count)])


def _all_rows(reference: Reference, name: str) -> list[Row]:
    if name.startswith("demo:"):
        return _demo(reference, name)
    path = reference.path(name)
    if path.is_dir():
        return _folder(reference, path, name)
    if path.is_file():
        if path.suffix not in SUFFIXES:
            message = f"{name} ends in {path.suffix or 'no suffix'}, and data files end in {', '.join(SUFFIXES)}."
            raise _problem(reference, "unknown-file-type", message, "convert it, or rename it after what it holds")
        return read_file(path, name)
    if _HUB_ID.match(name) and not name.endswith(SUFFIXES):
        return _hub(reference, name)
    message = f"There is no file, folder or data set {name!r}; paths start from {reference.base}."
    raise _problem(reference, "missing-path", message, "mend the path")


def _folder(reference: Reference, folder: Path, name: str) -> list[Row]:
    files = data_files(folder)
    if not files:
        message = f"The folder {name} holds no file that ends in {', '.join(SUFFIXES)}."
        raise _problem(reference, "no-rows", message, "name the folder that holds the files themselves")
    return [row for file in files for row in read_file(file, f"{name.rstrip('/')}/{file.name}")]


def _demo(reference: Reference, name: str) -> list[Row]:
    from swift_core.demo.corpus import rows

    try:
        values: list[dict[str, Any]] = rows(name.removeprefix("demo:"))
    except ValueError as error:
        raise _problem(reference, "unknown-demo", f"{error}.", "name one of them") from error
    return [Row(row, name, number) for number, row in enumerate(values, start=1)]


def _hub(reference: Reference, name: str) -> list[Row]:
    import datasets  # type: ignore[import-untyped]

    match = _HUB_ID.match(name)
    subset = match["subset"] if match else None
    try:
        table = datasets.load_dataset(name.partition(":")[0], subset, split="train")
    except Exception as error:  # whatever a remote host, a cache or a loading script raises
        reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        message = f"There is no file or folder {name}, and it cannot be had as a hub data set: {reason}."
        raise _problem(reference, "dataset-unavailable", message, "give a local file, or check the network") from error
    for column, kind in table.features.items():
        if isinstance(kind, datasets.Image):  # bytes as they are stored: pixels are decoded when a batch needs them
            table = table.cast_column(column, datasets.Image(decode=False))
    return [Row(dict(row), name, number) for number, row in enumerate(table, start=1)]


def downloads() -> tuple[Path, ...]:
    """Return the folders that hub data sets are downloaded to."""
    datasets = sys.modules.get("datasets")
    hub = sys.modules.get("huggingface_hub.constants")
    return (Path(datasets.config.HF_DATASETS_CACHE), Path(hub.HF_HUB_CACHE)) if datasets and hub else ()


def drawn_indices(reference: Reference, total: int, count: int) -> list[int]:
    """Return which `count` of `total` rows are taken, ascending, drawn by the seed and by what is named."""
    if not 0 < count <= total:
        message = f"{reference.text} asks for {count} rows and there are {total:,}."
        next_step = f"write a number from 1 to {total} after #, or leave it out"
        raise _problem(reference, "too-few-rows", message, next_step)
    return sorted(random.Random(f"{reference.seed} {reference.text}").sample(range(total), count))


def _problem(reference: Reference, code: str, message: str, next_step: str) -> SwiftError:
    return SwiftError(Problem(code, message, reference.place, next_step))
