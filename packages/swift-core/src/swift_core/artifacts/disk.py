"""A disk that is full, or a limit on files: told with its name and bytes instead of what a library made of it."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NEAR = 2**20
"""Bytes: with less than this left of a disk or a limit, a failed write is put down to it."""


def no_room(error: BaseException, folder: Path, what: str, *, last_good: str, next_step: str) -> Problem | None:
    """Return the problem when `error` came of a disk or limit that leaves no room in `folder`, else None.

    torch and safetensors turn the system's errors into their own, without its number; then what is left is measured.

    Args:
        error: What writing raised.
        folder: Where it wrote; its files are still there.
        what: What could not be written, as the subject of a sentence.
        last_good: What is left to go on from, as a sentence.
        next_step: The way to go on once there is room.
    """
    number = getattr(error, "errno", None)
    place = _existing(folder)
    free, limit = shutil.disk_usage(place).free, _file_limit()
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    if number == errno.EFBIG or (number is None and limit is not None and max(sizes, default=0) > limit - _NEAR):
        why = f"files of this process may not exceed {limit} bytes (ulimit -f)"
    elif number in _NO_ROOM or (number is None and free < _NEAR):
        reason = os.strerror(number or errno.ENOSPC)
        why = f"{reason} on the disk of {place}, which has {free} bytes free"
    else:
        return None
    return Problem(
        "disk-full",
        f"{what} could not be written: {why}; {sum(sizes)} bytes were written. {last_good}",
        None,
        next_step,
    )


@contextmanager
def telling_no_room(folder: Path, what: str, next_step: str) -> Iterator[None]:
    """Tell of a disk or limit that leaves no room for what the block writes into `folder`.

    Raises:
        SwiftError: There is no room.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        problem = no_room(error, folder, what, last_good="Checkpoints stay as they are.", next_step=next_step)
        if problem is None:
            raise
        raise SwiftError(problem) from error


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _file_limit() -> int | None:
    """Return how large a file this process may write, in bytes; None without a limit."""
    if sys.platform == "win32":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if limit == resource.RLIM_INFINITY else limit
