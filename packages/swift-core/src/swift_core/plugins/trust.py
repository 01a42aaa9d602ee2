"""Folders whose files may run as plugins. A run file alone runs no code: its user trusts a folder first."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from swift_core.errors import Problem, SwiftError
from swift_core.plugins.errors import PluginError


def store() -> Path:
    """Return the file that remembers trusted folders, in the user's configuration folder."""
    import click

    return Path(click.get_app_dir("swift")) / "trusted.json"


def trusted_folders() -> list[Path]:
    """Return the folders the user trusts, sorted; what they hold, at any depth, may run."""
    path = store()
    try:
        folders = json.loads(path.read_text(encoding="utf-8"))["folders"]
        return sorted(Path(folder) for folder in folders)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"the list of trusted folders, {path}, cannot be read: {error}"
        raise SwiftError(Problem("unreadable-trust", message, next_step=f"delete {path} and trust again")) from error


def is_trusted(file: Path) -> bool:
    """Say whether `file` lies in a trusted folder; links are followed first."""
    return any(file.resolve().is_relative_to(folder) for folder in trusted_folders())


def trust(folder: Path) -> Path:
    """Remember `folder` and return it resolved; ValueError when it is no folder."""
    resolved = folder.resolve()
    if not resolved.is_dir():
        raise ValueError(f"{folder} is not a folder")
    _write({*trusted_folders(), resolved})
    return resolved


def distrust(folder: Path) -> Path:
    """Forget `folder` and return it resolved; ValueError when it was not trusted itself."""
    resolved = folder.resolve()
    folders = trusted_folders()
    if resolved not in folders:
        raise ValueError(f"{folder} is not in the list of trusted folders")
    _write({*folders} - {resolved})
    return resolved


def _write(folders: set[Path]) -> None:
    path = store()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps({"folders": sorted(map(str, folders))}, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


def require_trust(file: Path, *, allow_code: bool = False) -> None:
    """Return when `file` may run: its folder is trusted, the user says so now on a terminal, or `allow_code` is set.

    Raises:
        PluginError: When it may not.
    """
    if allow_code or is_trusted(file) or _consent(file.resolve().parent):
        return
    message = f"{file} is code, and its folder is not trusted, so it does not run."
    raise PluginError("untrusted-code", message, f"swift trust {file.parent}, or add --allow-code to this command")


def _consent(folder: Path) -> bool:
    """Ask on a terminal whether `folder` may be trusted from now on; elsewhere the answer is no."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    import click

    click.echo(f"This run uses Python files in {folder}. They can do whatever you can.", err=True)
    if not click.confirm("Trust this folder, now and in later runs?", err=True):
        return False
    trust(folder)
    return True
