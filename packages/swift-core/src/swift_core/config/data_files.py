"""What a data key names: `path`, `path#N`, a folder, a `demo:` name or a hub id; nothing is read here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from swift_core.contracts.handover import RunConfig
    from swift_core.errors import Place

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
_NOT_DATA = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")


def data_files(folder: Path) -> list[Path]:
    """Return the data files in `folder`, by name; those in folders below it are not read."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES and path.name not in _NOT_DATA]
    return [path for path in files if not path.name.startswith(".")]


@dataclass(frozen=True, slots=True)
class Reference:
    """One data set of the run file, not read yet."""

    text: str
    base: Path
    """The run file's folder."""

    place: Place | None
    seed: int

    def split(self) -> tuple[str, int]:
        """Return what is named and how many rows are drawn from it; -1 means all."""
        name, mark, count = self.text.rpartition("#")
        if mark and count.isdecimal() and not self.path(self.text).exists():
            return name, int(count)
        return self.text, -1

    def path(self, name: str) -> Path:
        """Return `name` as a path; paths start from the run file's folder."""
        return self.base / os.path.expanduser(name)

    def folder(self) -> Path | None:
        """Return the folder of the data files; None when the data is not a file of this machine."""
        name, _ = self.split()
        path = self.path(name)
        if name.startswith("demo:") or not path.exists():
            return None
        return path if path.is_dir() else path.parent

    def files(self) -> list[Path]:
        """Return the data files of this machine that are named; none for other data."""
        folder = self.folder()
        path = self.path(self.split()[0])
        return [] if folder is None else data_files(folder) if path.is_dir() else [path]


def references(config: RunConfig, key: str) -> list[Reference]:
    """Return what `data.dataset` or `data.val_dataset` names."""
    value: str | list[str] = getattr(config.settings.data, key.removeprefix("data."))
    seed = config.settings.train.seed
    if isinstance(value, str):
        return [Reference(value, config.path.parent, config.place(key), seed)]
    return [
        Reference(text, config.path.parent, config.place(f"{key}.{index}"), seed) for index, text in enumerate(value)
    ]
