"""Read the text of a run file, or say why it cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.errors import Place, Problem, SwiftError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 100_000
"""A run file is a page of text; something a hundred times larger is a data file given by mistake."""


def read_text(path: Path) -> str:
    """Return the text of the run file at `path`; raises SwiftError."""
    try:
        if path.is_dir():
            raise SwiftError(_folder(path))
        if path.stat().st_size > MAX_BYTES:
            message = f"{path} is larger than 100 kB; a run file is a page of YAML"
            raise SwiftError(Problem("run-file-too-large", message, next_step="give the run file, not the data"))
        data = path.read_bytes()
    except FileNotFoundError:
        raise SwiftError(_missing(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise SwiftError(Problem("run-file-unreadable", f"cannot read {path}: {reason}")) from None
    return _decode(data, path)


def _decode(data: bytes, path: Path) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        message = f"{path} is encoded as UTF-16"
        raise SwiftError(Problem("run-file-encoding", message, next_step="save the file as UTF-8"))
    if b"\0" in data:
        message = f"{path} is a binary file, not YAML"
        raise SwiftError(Problem("run-file-binary", message, next_step="give the path of a run file"))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1) + 1
        place = Place(str(path), line, column, before.rpartition("\n")[2] + "?")
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise SwiftError(Problem("run-file-encoding", message, place, "save the file as UTF-8")) from None


def _folder(path: Path) -> Problem:
    found = sorted(child.name for child in path.iterdir() if child.suffix in (".yaml", ".yml"))[:3]
    next_step = f"give a file in it: {', '.join(str(path / name) for name in found)}" if found else "give a run file"
    return Problem("run-file-is-folder", f"{path} is a folder, not a run file", next_step=next_step)


def _missing(path: Path) -> Problem:
    import difflib

    folder = path.parent
    names = (
        sorted(child.name for child in folder.iterdir() if child.suffix in (".yaml", ".yml")) if folder.is_dir() else []
    )
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    hint = f" Did you mean {folder / close[0]}?" if close else ""
    return Problem("run-file-missing", f"there is no file {path}.{hint}", next_step="check the path of the run file")
