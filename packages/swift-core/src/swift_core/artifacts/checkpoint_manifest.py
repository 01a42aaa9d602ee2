"""What a checkpoint says of itself: `manifest.json`, written last, with size and hash of every file beside it.

A folder is taken only when it holds exactly the files that its manifest lists, each with that size and hash, and all
of kinds that are read as data: safetensors, JSON, text, and torch's format under `weights_only=True`. The manifest
carries a hash of itself. It proves that nothing was damaged; it is no signature, and needs to be none, because nothing
in a checkpoint is run whoever wrote it. Hence XXH3 with 128 bits, ten times as fast as SHA-256: a save must not wait.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import xxhash

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MANIFEST = "manifest.json"
FORMAT = 1
"""Version of the manifest; another one is refused."""

READ = frozenset({".safetensors", ".json", ".jinja", ".txt", ".model", ".md", ".pt", ".pth"})
"""Endings of files that a checkpoint may hold. `.pt` and `.pth` are read with `weights_only=True`."""

_LARGEST_MANIFEST = 16 * 2**20
_CHUNK = 2**18
"""Bytes read at a time; they stay in the processor's cache."""


class BrokenCheckpointError(ValueError):
    """A folder is no whole checkpoint; the message says why, in words that follow its path."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of a checkpoint whose files are as they were written."""

    step: int
    world: int
    """Number of processes that wrote it."""

    files: Mapping[str, Any]
    about: Mapping[str, Any]
    """What the run said of itself: `settings`, `plugins`, `eval_loss`."""

    @property
    def num_bytes(self) -> int:
        """Size of all files together."""
        return sum(entry["size"] for entry in self.files.values())


def write_manifest(folder: Path, *, step: int, world: int, about: Mapping[str, Any]) -> None:
    """Hash every file in `folder`, bring them all to the disk, and write the manifest.

    Raises:
        BrokenCheckpointError: The folder holds a link, or a file of a kind that is never read.
        OSError: The disk refused.
    """
    names = sorted(_names(folder))
    with ThreadPoolExecutor(max_workers=4) as pool:
        flushed = [pool.submit(_flush, folder / name) for name in names]  # the disk works while hashes are taken
        entries = [_entry(folder / name) for name in names]
        for each in flushed:
            each.result()
    content = {"format": FORMAT, "step": step, "world": world, "about": dict(about)}
    content["files"] = dict(zip(names, entries, strict=True))
    content["sha256"] = _own_hash(content)
    with (folder / MANIFEST).open("x", encoding="utf-8") as file:
        json.dump(content, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        flush_folder(path)


def verify(folder: Path) -> Manifest:
    """Return what the manifest of `folder` says, once all of it has proved true.

    Raises:
        BrokenCheckpointError: Something is missing, changed, added, or of a kind that is never read.
    """
    try:
        manifest = read_manifest(folder)
        names = set(islice(_names(folder), len(manifest.files) + 2)) - {MANIFEST}  # a stranger may add a million
        if added := sorted(names - set(manifest.files)):
            raise BrokenCheckpointError(f"holds {added[0]}, which its manifest does not list")
        if missing := sorted(set(manifest.files) - names):
            raise BrokenCheckpointError(f"lacks {missing[0]}")
        sizes = {name: (folder / name).stat().st_size for name in names}
        for name, entry in manifest.files.items():  # sizes first: they cost nothing
            if sizes[name] != entry["size"]:
                raise BrokenCheckpointError(f"has {sizes[name]} bytes of {name}, not {entry['size']}")
        for name in names:
            _require_unpacked(folder / name)
        with ThreadPoolExecutor(max_workers=4) as pool:
            found = pool.map(lambda name: _entry(folder / name), manifest.files)
        for (name, entry), other in zip(manifest.files.items(), found, strict=True):
            if other != entry:
                raise BrokenCheckpointError(f"has other bytes in {name} than were written")
    except OSError as error:
        raise BrokenCheckpointError(f"cannot be read: {error.strerror}") from error
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise BrokenCheckpointError(f"holds a state that cannot be read: {error}") from error
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Return what the manifest of `folder` says; its own hash is checked, the files are not.

    Raises:
        BrokenCheckpointError: There is none, or it is not as it was written.
    """
    path = folder / MANIFEST
    if folder.is_symlink() or path.is_symlink():
        raise BrokenCheckpointError("is a link, or holds one")
    if not path.is_file():
        raise BrokenCheckpointError(f"has no {MANIFEST}: it was never finished, or something else wrote it")
    if path.stat().st_size > _LARGEST_MANIFEST:
        raise BrokenCheckpointError(f"has a {MANIFEST} of more than {_LARGEST_MANIFEST} bytes")
    try:
        content = json.loads(path.read_bytes())
        own = content.pop("sha256")
        if own != _own_hash(content):
            raise BrokenCheckpointError(f"has a {MANIFEST} that was changed")
        if content["format"] != FORMAT:
            raise BrokenCheckpointError(f"has a {MANIFEST} of format {content['format']}, not {FORMAT}")
        step, world = int(content["step"]), int(content["world"])
        files, about = dict(content["files"]), dict(content["about"])
        for name, entry in files.items():
            _require_inside(name)
            if {key: type(value) for key, value in entry.items()} != {"size": int, "xxh3_128": str}:
                raise BrokenCheckpointError(f"has a {MANIFEST} that is none")
        if not all(isinstance(about.get(key, {}), dict) for key in ("settings", "plugins", "data")):
            raise BrokenCheckpointError(f"has a {MANIFEST} that is none")
        if "eval_loss" in about:
            about["eval_loss"] = float(about["eval_loss"])
    except BrokenCheckpointError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
        raise BrokenCheckpointError(f"has a {MANIFEST} that is none") from error
    return Manifest(step, world, files, about)


def flush_folder(path: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _names(folder: Path) -> Iterator[str]:
    """Yield the files under `folder` as relative names; refuse what is neither a plain file nor a folder."""
    for path in folder.rglob("*"):
        mode, name = path.lstat().st_mode, path.relative_to(folder).as_posix()
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            raise BrokenCheckpointError(f"holds {name}, which is a link or no plain file")
        if path.suffix not in READ:
            raise BrokenCheckpointError(f"holds {name}, which is of no kind that is read from a checkpoint")
        yield name


def _require_inside(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or str(path) != name:
        raise BrokenCheckpointError(f"has a {MANIFEST} that names {name!r}, outside of its folder")


def _entry(path: Path) -> dict[str, Any]:
    """Return size and hash of a file; opened without following a link that was put in its place meanwhile."""
    total, size, block = xxhash.xxh3_128(), 0, memoryview(bytearray(_CHUNK))
    with open(opened(path), "rb", buffering=0) as file:
        while length := file.readinto(block):
            total.update(block[:length])
            size += length
    return {"size": size, "xxh3_128": total.hexdigest()}


def _require_unpacked(path: Path) -> None:
    """Refuse a state of torch whose parts are packed: torch writes none, and a kilobyte may unpack to gigabytes."""
    if path.suffix in (".pt", ".pth") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise BrokenCheckpointError(f"has packed parts in {path.name}, which torch does not write")


def _flush(path: Path) -> None:
    """Bring a file to the disk."""
    with open(opened(path), "rb", buffering=0) as file:
        os.fsync(file.fileno())


def opened(path: Path) -> int:
    """Open a file for reading, whose last name is no link; return its handle."""
    return os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))


def _own_hash(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
