"""Runs as they lie in a folder: how each ended, and where its checkpoints stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.artifacts.checkpoint import Standing, is_named, newest_first, standing
from swift_core.contracts.records import entries, interpreting, read_object
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ListedRun:
    """One line of `swift runs list`."""

    path: Path
    state: str
    """`finished`, `unfinished`, or `unreadable`."""

    what: str
    """Stage, loss and model."""

    checkpoint: str
    """Its newest checkpoint, unread."""


def listed(directory: Path) -> list[ListedRun]:
    """Return the runs in `directory`, or `directory` itself when it is one, by name; no file of weights is read.

    Raises:
        SwiftError: There is no such folder, or it holds too much.
    """
    if not directory.is_dir():
        raise SwiftError(Problem("no-folder", f"{directory} is no folder.", next_step="swift runs list DIR"))
    if _is_run(directory):
        return [_listed(directory)]
    folders = sorted(directory / entry.name for entry in entries(directory) if entry.is_dir())
    return [_listed(path) for path in folders if _is_run(path)]


def verified(path: Path) -> list[Standing]:
    """Return where every checkpoint of the run at `path`, or the checkpoint at `path`, stands; all files are read.

    Raises:
        SwiftError: There is no checkpoint, or the folder holds too much.
    """
    folders = [path] if is_named(path) and path.is_dir() else _checkpoints(path) if path.is_dir() else []
    if not folders:
        what = "holds no checkpoint" if path.is_dir() else "is no folder"
        raise SwiftError(Problem("no-checkpoint", f"{path} {what}.", next_step="swift runs list"))
    return [standing(folder) for folder in folders]


def _is_run(path: Path) -> bool:
    return (path / "plan.json").is_file()


def _checkpoints(run: Path) -> list[Path]:
    entries(run)  # refuses a folder with too many
    return newest_first(run)


def _listed(path: Path) -> ListedRun:
    try:
        newest = next(iter(_checkpoints(path)), None)
    except SwiftError as error:
        return ListedRun(path, "unreadable", error.problems[0].message, "not looked at")
    checkpoint = newest.name if newest else "no checkpoint"
    try:
        with interpreting(path / "plan.json"):
            what = _what(read_object(path / "plan.json"))
        state = "finished" if (path / "result.json").is_file() else "unfinished"
        return ListedRun(path, state, what, checkpoint)
    except (OSError, SwiftError):
        return ListedRun(path, "unreadable", "plan.json is not as a run wrote it", checkpoint)


def _what(plan: dict[str, Any]) -> str:
    names = {part["key"]: str(part["name"]) for part in plan["parts"]}
    model = str(plan["settings"]["model"]["model_id"]["value"])
    words = (names.get("train.stage", "?"), names.get("train.loss_type", "?"), model)
    return " ".join("".join(letter for letter in word if letter.isprintable()) for word in words)
