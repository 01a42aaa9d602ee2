"""Which path a text of the run file means: paths start from the folder of the run file."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?\Z")
_DATA_SUFFIXES = (".json", ".jsonl", ".csv", ".parquet", ".txt", ".jsonl.gz", ".tsv")


def path_of(text: str, base: Path) -> Path:
    """Return the path that `text` means."""
    return base / os.path.expanduser(text)


def looks_like_path(text: str) -> bool:
    """Say whether `text` can only be meant as a path, whether or not it exists."""
    return (
        text.startswith((".", "/", "~")) or text.endswith("/") or text.count("/") > 1 or text.endswith(_DATA_SUFFIXES)
    )


def is_hub_id(text: str) -> bool:
    """Say whether `text` has the form `owner/name` or `owner/name:subset`."""
    return bool(_HUB_ID.match(text))


def neighbour(path: Path, *, folders_only: bool = False) -> str:
    """Return ` Did you mean PATH?` for the most similar name in the same folder, or an empty text."""
    folder = path.parent
    try:
        names = sorted(child.name for child in folder.iterdir() if child.is_dir() or not folders_only)
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    return f" Did you mean {folder / close[0]}?" if close else ""


def missing_parent(path: Path) -> str:
    """Return the first folder on the way to `path` that does not exist, as a remark, or an empty text."""
    for folder in reversed(path.parents):
        if not folder.exists():
            return f" There is no folder {folder}."
    return ""
