"""Files that reach the disk while others are still being written, so that the last wait is short."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from swift_core.artifacts.checkpoint_manifest import opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_REST = 0.02
"""Seconds between two looks at the folder."""

_flush = getattr(os, "fdatasync", os.fsync)


@contextmanager
def flushing(folder: Path) -> Iterator[None]:
    """Bring what is written under `folder` to the disk as it grows, in a thread that ends with the block.

    This is a head start and no promise: who needs all of it on the disk flushes every file once more at the end.

    Raises:
        OSError: The disk refused. It must be told here: Linux tells a failed write-back once, so that a later flush of
            the same file may end well.
    """
    done = threading.Event()
    failures: list[OSError] = []
    thread = threading.Thread(target=_flush_until, args=(folder, done, failures), name="flushing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    if failures:
        raise failures[0]


def _flush_until(folder: Path, done: threading.Event, failures: list[OSError]) -> None:
    """Flush files that have grown, again and again, until `done` is set or the disk refuses."""
    flushed: dict[Path, int] = {}
    try:
        while not done.wait(_REST):
            with suppress(FileNotFoundError):  # renamed or deleted by who writes; the next look sees what is there then
                _flush_grown(folder, flushed)
    except OSError as error:
        failures.append(error)


def _flush_grown(folder: Path, flushed: dict[Path, int]) -> None:
    """Flush the files whose size is not the one they were last flushed with."""
    for path, size in _sizes(folder):
        if flushed.get(path) != size:
            _flush_file(path)
            flushed[path] = size


def _sizes(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield path and size of the plain files under `folder`."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _sizes(folder / entry.name)
            elif entry.is_file(follow_symlinks=False):
                yield folder / entry.name, entry.stat(follow_symlinks=False).st_size


def _flush_file(path: Path) -> None:
    with open(opened(path), "rb", buffering=0) as file:
        _flush(file.fileno())
