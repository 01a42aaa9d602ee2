"""Encoded rows kept on disk, under a key of everything they depend on: read back, they are the rows that were kept.

An entry is a folder in the cache: `rows.jsonl` with a row a line, `offsets.bin` with the place of each, and
`entry.json` with what it is, how much, and checksums. An entry whose checksum is wrong is not used.
"""

from __future__ import annotations

import hashlib
import json
import os
import weakref
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from swift_core.assemble.data.encode import Tally
from swift_core.cache import cache_dir, make_once
from swift_core.plugins.identity import digest
from swift_core.plugins.option_files import files_hash

if TYPE_CHECKING:
    from swift_core.assemble.data.encode import Limit, Stage
    from swift_core.assemble.data.rows import Item
    from swift_core.contracts.data import TextEncoder
    from swift_core.contracts.handover import RunPlan

FORMAT = 1
FOLDER = "rows"
_ROWS, _OFFSETS, _ENTRY = "rows.jsonl", "offsets.bin", "entry.json"
_CHUNK = 1 << 20

KINDS = ("tokens", "pairs", "prompts", "unpaired")
"""Kinds of rows that follow from their records and the key alone."""


class NotKeptError(ValueError):
    """A row cannot be written to disk and read back as it is."""


class RowFile(Sequence[dict[str, Any]]):
    """Rows on disk; one is read when it is asked for."""

    def __init__(self, folder: Path) -> None:
        """Open an entry; raise ValueError when it is damaged."""
        self.folder = folder
        try:
            self.entry = _read(folder / _ENTRY)
            self._offsets = array("Q", (folder / _OFFSETS).read_bytes())
            whole = {name: _checksum(folder / name) for name in (_ROWS, _OFFSETS)}
        except (OSError, ValueError) as error:
            raise ValueError(f"it cannot be read ({error})") from error
        if self.entry.get("format") != FORMAT or whole != self.entry.get("checksums"):
            raise ValueError("its checksum is wrong")
        self._file = os.open(folder / _ROWS, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __reduce__(self) -> tuple[type[RowFile], tuple[Path]]:
        """Travel to a process that loads data as the folder's name."""
        return RowFile, (self.folder,)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        start, end = self._offsets[index], self._offsets[index + 1]
        return json.loads(os.pread(self._file, end - start, start))

    @property
    def tally(self) -> Tally:
        """What became of the rows when they were encoded."""
        kept = dict(self.entry["tally"])
        return Tally(**{**kept, "ends": set(kept["ends"]), "longest": tuple(kept["longest"])})

    @property
    def num_bytes(self) -> int:
        """Size on disk."""
        return folder_size(self.folder)


@dataclass(frozen=True, slots=True)
class Kept:
    """Rows that are on disk now, and what is to be told of it."""

    rows: RowFile
    note: str


def keep(key: str, what: str, make: Iterable[tuple[dict[str, Any], Tally]]) -> Kept:
    """Return the rows kept under `key`; when there are none, or they are damaged, those that `make` yields are kept.

    Args:
        key: Of everything the rows depend on.
        what: The data in words, for lists of entries.
        make: Yields rows, each with the tally that counts all of them once the last is out.

    Raises:
        NotKeptError: A row is not the same when it is read back.
    """
    folder = cache_dir() / FOLDER / key
    told = "made and kept in"
    if folder.is_dir():
        try:
            rows = RowFile(folder)
        except ValueError as error:
            told = f"damaged, {error}: made anew in"
            remove(folder)
        else:
            return Kept(rows, f"encoded rows read from {folder}, {_size(rows.num_bytes)}")
    make_once(folder, lambda unfinished: _write(unfinished, what, make))
    rows = RowFile(folder)
    return Kept(rows, f"encoded rows {told} {folder}, {_size(rows.num_bytes)}")


def _write(folder: Path, what: str, make: Iterable[tuple[dict[str, Any], Tally]]) -> None:
    offsets, tally = array("Q", [0]), Tally()
    with (folder / _ROWS).open("wb") as file:
        for row, tally in make:  # noqa: B007 -- the last tally is that of all rows
            file.write(_line(row))
            offsets.append(file.tell())
    (folder / _OFFSETS).write_bytes(offsets.tobytes())
    entry = {
        "format": FORMAT,
        "what": what,
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "num_rows": len(offsets) - 1,
        "tally": {**asdict(tally), "ends": sorted(tally.ends)},
        "checksums": {name: _checksum(folder / name) for name in (_ROWS, _OFFSETS)},
    }
    whole = {"entry": entry, "checksum": _checksum_of(entry)}
    (folder / _ENTRY).write_text(json.dumps(whole), encoding="utf-8")


def _read(file: Path) -> dict[str, Any]:
    """Return what an entry says of itself; raise OSError or ValueError where it is not what was written."""
    whole = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(whole, dict) or whole.get("checksum") != _checksum_of(whole.get("entry")):
        raise ValueError("its description is damaged")
    entry: dict[str, Any] = whole["entry"]
    return entry


def _checksum_of(value: Any) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(value, sort_keys=True).encode())


def _line(row: dict[str, Any]) -> bytes:
    try:
        line = json.dumps(row, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise NotKeptError(str(error)) from error
    if json.loads(line) != row:
        raise NotKeptError("a row has values that JSON does not keep as they are")
    return line + b"\n"


def key_of(plan: RunPlan, items: Iterable[Item], encoder: Any, stage: Stage, limit: Limit) -> str:
    """Return the key of encoded rows: a hash of the records, the tokenizer, the template, and all code between them."""
    total = hashlib.sha256(_code().encode())
    scales = [digest((part.plugin, part.options) for part in plan.loss_scales)]
    scales += [files_hash(part, plan.config.path.parent) for part in plan.loss_scales]
    facts = [stage.name, type(stage.kind).__name__, stage.trains_everything, limit.max_length, limit.overlong]
    total.update(json.dumps([FORMAT, *facts, scales, encoder.fingerprint()]).encode())
    for item in items:
        record = asdict(item.record)
        line = json.dumps(record, sort_keys=True, ensure_ascii=False, default=repr)
        total.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return total.hexdigest()[:32]


def can_keep(stage: Stage, encoder: TextEncoder) -> bool:
    """Say whether the key covers all that rows of this stage depend on."""
    from swift_core.assemble.kinds import KINDS as CLASSES

    known = {CLASSES[name] for name in KINDS}
    return type(stage.kind) in known and hasattr(encoder, "fingerprint")


def _code() -> str:
    """Return a hash of the code that makes rows of records, and of the libraries it calls."""
    from importlib.metadata import version

    here = Path(__file__).parents[1]
    total = hashlib.sha256()
    files = [*here.glob("*.py"), *here.glob("data/*.py"), *here.glob("kinds/*.py"), *here.glob("vision/*.py")]
    for file in sorted(files):
        total.update(file.name.encode() + file.read_bytes())
    return " ".join([total.hexdigest(), *(f"{name} {version(name)}" for name in ("tokenizers", "jinja2"))])


def read_entry(folder: Path) -> dict[str, Any] | None:
    """Return what an entry says of itself; None where it cannot be read."""
    try:
        return _read(folder / _ENTRY)
    except (OSError, ValueError):
        return None


def folder_size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def remove(folder: Path) -> None:
    """Remove an entry; what goes wrong is raised."""
    import shutil

    shutil.rmtree(folder)


def _checksum(file: Path) -> str:
    total = xxhash.xxh3_128()
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.2f} MB"
