"""Where things are kept that take long to make and can always be made again: the demo model, converted weights.

`SWIFT_CACHE` names the folder; else it is `swift` in `XDG_CACHE_HOME`, which defaults to `~/.cache`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def cache_dir() -> Path:
    """Return the cache folder; it need not exist yet."""
    if chosen := os.environ.get("SWIFT_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "swift"


def make_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return `folder`, letting `make` fill it first when it is not there.

    `make` fills a temporary neighbour that takes the final name when it is complete, so that nobody ever sees half a
    folder. Two processes may both do the work; the first to finish wins.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        make(unfinished)
        unfinished.chmod(0o755)
        _take_name(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _take_name(unfinished: Path, folder: Path) -> None:
    try:
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
