"""The bytes of the data files of a run: a run that goes on reads the rows that it began with."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import xxhash

from swift_core.config.data_files import references

if TYPE_CHECKING:
    from pathlib import Path

    from swift_core.contracts.handover import RunPlan

_WHOLE = 2**30
"""Bytes up to which all of a file is read."""

_END = 2**24
"""Bytes at the start and at the end of a larger file that are read."""


def data_lock(plan: RunPlan) -> dict[str, str]:
    """Return what is in each data file of this machine: name -> bytes and XXH3-128 hash.

    Of a file of more than 1 GiB the first and the last 16 MiB are read. Data of hubs and what rows name (images) are
    not looked at.
    """
    lock = {}
    for key in ("data.dataset", "data.val_dataset"):
        for reference in references(plan.config, key):
            for path in reference.files():
                name = reference.split()[0]
                is_named = reference.path(name) == path
                lock[name if is_named else f"{name.rstrip('/')}/{path.name}"] = _content(path)
    return lock


def _content(path: Path) -> str:
    try:
        known = path.stat()
        return _hashed(path, known.st_size, known.st_mtime_ns)
    except OSError as error:  # told where the rows are read
        return f"cannot be read ({error.strerror})"


@functools.lru_cache(maxsize=4096)
def _hashed(path: Path, size: int, _changed: int) -> str:
    total = xxhash.xxh3_128()
    with path.open("rb") as file:
        if size <= _WHOLE:
            while block := file.read(2**20):
                total.update(block)
        else:
            total.update(file.read(_END))
            file.seek(-_END, 2)
            total.update(file.read(_END))
    return f"{size} bytes, {total.hexdigest()}"
