"""Files and folders that are there whole or not at all: written beside their place, then renamed into it."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with plain line breaks; a reader sees the old file or the new one, never half of it.

    Half of a surrogate pair, which UTF-8 cannot hold, is written as JSON escapes it.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with open(handle, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it becomes `path` when the block ends well, in place of what stood there."""
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        _swap(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap(new: Path, path: Path) -> None:
    """Rename `new` to `path`. A folder cannot be replaced in one call, so the old one steps aside first."""
    if not path.exists():
        new.rename(path)
        return
    aside = new.with_suffix(".old")
    path.rename(aside)
    new.rename(path)
    shutil.rmtree(aside)


def _umask() -> int:
    """Return the process's file mask; the system tells it only while setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
