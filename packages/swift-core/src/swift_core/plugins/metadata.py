"""Metadata of installed distributions, read from their folders. Imports nothing, and costs 20 microseconds each.

A folder of `sys.path` holds one `NAME-VERSION.dist-info` (or `.egg-info`) per installed distribution, and in it
`entry_points.txt`. `importlib.metadata` reads the same files; it is not used because importing it costs more than
reading a thousand distributions, and one call of it per kind reads them all once per kind.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SEPARATORS = re.compile(r"[-_.]+")


class Distribution(NamedTuple):
    """An installed distribution, known by the name of its metadata folder."""

    name: str
    """Normalised: lower case, words joined by `-`."""

    version: str
    folder: str
    """Path of its `.dist-info` or `.egg-info`."""


def normalised(name: str) -> str:
    """Return a distribution name in the form that compares equal for all its spellings (PEP 503)."""
    return _SEPARATORS.sub("-", name).lower()


def distributions_on(paths: Iterable[str] | None = None) -> Iterator[Distribution]:
    """Yield what is installed in the folders of `paths` (`sys.path` when left out), in the order in which Python looks.

    A folder that is named twice counts once. A distribution that is installed in two folders comes twice.
    """
    seen = set()
    for path in sys.path if paths is None else paths:
        folder = os.path.realpath(path or os.curdir)
        if folder in seen:
            continue
        seen.add(folder)
        for name in _metadata_folders(folder):
            yield _distribution(folder, name)


def _metadata_folders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as found:
            return sorted(entry.name for entry in found if entry.name.endswith((".dist-info", ".egg-info")))
    except OSError:  # not a folder, or gone: Python ignores such entries of sys.path too
        return []


def _distribution(folder: str, metadata: str) -> Distribution:
    path = os.path.join(folder, metadata)
    name, _, rest = metadata.rpartition(".")[0].partition("-")
    version = rest if metadata.endswith(".dist-info") else re.sub(r"-py\d.*\Z", "", rest)
    return Distribution(normalised(name), version or _version_in(path), path)


def _version_in(path: str) -> str:
    """Return the version that an unversioned `.egg-info` states in its metadata; empty when it states none."""
    match = re.search(r"^Version: *(\S+)", metadata_text(path), re.MULTILINE)
    return match[1] if match else ""


def metadata_text(folder: str) -> str:
    """Return the METADATA (or PKG-INFO) of a metadata folder, or an empty string when it has none."""
    candidates = (os.path.join(folder, "METADATA"), os.path.join(folder, "PKG-INFO"), folder)
    path = next((path for path in candidates if os.path.isfile(path)), None)
    if path is None:
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def entry_points_text(distribution: Distribution) -> str:
    """Return the distribution's `entry_points.txt`; empty when it has none.

    Raises:
        OSError: When it is there and cannot be read; UnicodeDecodeError when it is not UTF-8.
    """
    try:
        with open(os.path.join(distribution.folder, "entry_points.txt"), encoding="utf-8") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def entries(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (group, name, value) of an `entry_points.txt`, whose format is that of the packaging specification."""
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
        elif line and line[0] not in "#;" and "=" in line:
            name, _, value = line.partition("=")
            yield group, name.strip(), value.strip()
