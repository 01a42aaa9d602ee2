"""Reading what a run directory says of a run: data that may come from a stranger, and is told as broken when it is."""

from __future__ import annotations

import json
import os
import stat
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGEST = 64 * 2**20
"""Bytes of a record, at most."""

LARGEST_LOG = 2**30
"""Bytes of a file with a line for each step, at most."""

MOST_ENTRIES = 100_000
"""Files and folders that a folder of a run holds, at most."""

_OTHER_FORM = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading data raises that has not the form it should have."""


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        SwiftError: It holds none, or is too large.
        OSError: It cannot be read.
    """
    try:
        content = json.loads(read_plain(path, LARGEST))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise broken(path, "is no JSON object")
    return content


def read_plain(path: Path, largest: int) -> str:
    """Return the text of a plain file of at most `largest` bytes.

    A pipe or a device in its place is opened, which takes no time, and never read, which may take for ever.

    Raises:
        SwiftError: It is no plain file, or is too large.
        ValueError: It is no text.
        OSError: It cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_size > largest:
        os.close(handle)
        is_file = stat.S_ISREG(status.st_mode)
        raise broken(path, f"has more than {largest} bytes" if is_file else "is no plain file")
    with open(handle, encoding="utf-8") as file:
        return file.read()


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what `folder` holds, in the order of the file system; no file is looked at.

    Raises:
        SwiftError: It holds more than a folder of a run does.
        OSError: It cannot be read.
    """
    with os.scandir(folder) as scanned:
        found = list(islice(scanned, MOST_ENTRIES + 1))
    if len(found) > MOST_ENTRIES:
        message = f"{folder} holds more than {MOST_ENTRIES} files and folders, which no run writes."
        raise SwiftError(Problem("full-folder", message, next_step="move what is no part of the run out of it"))
    return found


@contextmanager
def interpreting(path: Path) -> Iterator[None]:
    """Tell of what was read from `path` and has not the form that a run gives it."""
    try:
        yield
    except _OTHER_FORM as error:
        raise broken(path, f"is not as a run wrote it ({type(error).__name__}: {_short(error)})") from error


def broken(path: Path, what: str) -> SwiftError:
    """Return the error of a record; `what` follows its path."""
    next_step = "restore the file, or give another run directory"
    return SwiftError(Problem("broken-run", f"{path} {what}; it was changed after the run.", next_step=next_step))


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 120 else f"{text[:117]}..."
