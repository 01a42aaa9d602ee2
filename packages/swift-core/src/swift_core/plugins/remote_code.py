"""Code that a model repository brings: run only when the command line names the model and pins that code.

A run file cannot ask for it. `--trust-remote-code ID@PIN` does, with the id as the run file writes it. PIN is the
commit of a hub's repository, or the SHA-256 of the code in a folder, which the message that refuses the code prints.
Whatever other code a repository leads to, by a reference into another one or out of its folder, is never run.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

FLAG = "--trust-remote-code"

_COMMIT = re.compile(r"[0-9a-f]{40}")
_HASH = re.compile(r"[0-9a-f]{64}")
_REFERENCE = re.compile(r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*\.[A-Za-z_]\w*")
_CONFIGS = ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")

_GRANTED: dict[Path, str] = {}
"""Folders whose code this process may run -> the hash that the code had when it was compared with its pin."""


def parse_pins(texts: Sequence[str]) -> dict[str, str]:
    """Return model id -> pin from what the command line gave.

    Raises:
        SwiftError: One has no pin that says exactly which code is meant.
    """
    problems, pins = [], {}
    for text in texts:
        model_id, _, pin = text.rpartition("@")
        if not model_id or not (_COMMIT.fullmatch(pin) or _HASH.fullmatch(pin)):
            message = f"{FLAG} {text} does not say which code: it takes MODEL@PIN with a commit of 40 digits and "
            message += "letters a to f, or the hash of 64 that refusing the code prints; branches and tags move."
            problems.append(Problem("remote-code-pin", message, next_step=f"{FLAG} owner/name@COMMIT"))
        pins[model_id] = pin
    if problems:
        raise SwiftError(problems)
    return pins


def is_commit(pin: str) -> bool:
    """Say whether a pin is the commit of a repository."""
    return _COMMIT.fullmatch(pin) is not None


def grant(model_id: str, folder: Path, pin: str) -> None:
    """Let this process run the code in `folder` of the model, once it has proved to be what `pin` says.

    Raises:
        SwiftError: It is other code, or leads to code elsewhere.
    """
    found = code_hash(folder)
    if is_commit(pin):
        is_same = folder.parent.name == "snapshots" and folder.name == pin
        what = f"the folder {folder}, which is no snapshot of that commit; a folder is pinned by {found}"
    else:
        is_same, what = found == pin, f"code with the hash {found}"
    if not is_same:
        message = f"{FLAG} pins {model_id} to {pin}, and it holds {what}. None of it is run."
        raise SwiftError(Problem("remote-code-changed", message, next_step=f"read what has changed in {folder}"))
    if (reference := next((one for one in _references(folder) if not _is_inside(folder, one)), None)) is not None:
        message = f"{model_id} refers to {reference!r}, which is no code of its own folder and is not pinned."
        raise SwiftError(Problem("remote-code-elsewhere", message, next_step="use a model whose code is its own"))
    _GRANTED[folder.resolve()] = found


def grant_copies(folder: Path, origin: Path) -> None:
    """Let the code in `folder` run that was saved there from `origin`, whose code may run; any other keeps it out."""
    if may_run(origin) and all(_is_copy(file, origin) for file in _files(folder)):
        _GRANTED[folder.resolve()] = code_hash(folder)


def may_run(folder: Path) -> bool:
    """Say whether the code in a model folder may run, and is still what was permitted."""
    granted = _GRANTED.get(folder.resolve())
    return granted is not None and granted == code_hash(folder)


def code_hash(folder: Path) -> str:
    """Return the SHA-256 over names and bytes of all Python files in `folder`."""
    total = hashlib.sha256()
    for file in _files(folder):
        content = file.read_bytes()
        total.update(f"{file.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def refusal(folder: Path, error: Exception) -> str:
    """Return why a model could not be loaded when its code would have been needed; empty when that is not the cause."""
    if "trust_remote_code" not in str(error):
        return ""
    names = ", ".join(file.relative_to(folder).as_posix() for file in _files(folder)) or "none here"
    pin = folder.name if folder.parent.name == "snapshots" else code_hash(folder)
    return (
        f"it needs code of its own ({names}), and code of a model is not run unless the command line says so; "
        f"read it, then add {FLAG} MODEL@{pin} with the model as the run file writes it"
    )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if path.is_file())


def _references(folder: Path) -> Iterator[str]:
    """Yield the classes that the configurations of a model folder name as code: `modeling.Model`."""
    for name in _CONFIGS:
        try:
            found: Any = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        named: Mapping[str, Any] = found.get("auto_map") or {} if isinstance(found, dict) else {}
        for value in named.values() if isinstance(named, dict) else [named]:
            yield from (str(one) for one in (value if isinstance(value, list) else [value]) if one is not None)


def _is_inside(folder: Path, reference: str) -> bool:
    """Say whether a reference means a file of the folder: not `other/model--file.Class`, nor a path out of it."""
    return bool(_REFERENCE.fullmatch(reference)) and (folder / f"{reference.rpartition('.')[0]}.py").is_file()


def _is_copy(file: Path, origin: Path) -> bool:
    return any(file.name == other.name and file.read_bytes() == other.read_bytes() for other in _files(origin))
