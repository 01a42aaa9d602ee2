"""How well a process is confined. The words are those of the run file and of `swift doctor sandbox`."""

from __future__ import annotations

from typing import Literal, get_args

Level = Literal["L0", "L1", "L2", "L3"]

LEVELS: tuple[Level, ...] = get_args(Level)

MEANING: dict[Level, str] = {
    "L0": "in this process, or in one that is not confined",
    "L1": "a process of its own: a deadline, limits of memory and files, a clean environment, no open files",
    "L2": "L1, and Landlock (files, TCP, signals) and seccomp (no program, no process, no socket, no other process)",
    "L3": "L2, and namespaces of its own (users, network, IPC, host name, processes)",
}


_required: list[Level] = ["L1"]


def require_everywhere(level: Level) -> None:
    """Let nothing in this process start a confined process below `level` from now on."""
    _required[0] = level


def required(level: Level) -> Level:
    """Return the higher of `level` and what `require_everywhere` said."""
    return max(level, _required[0])


def reaches(level: Level, required: Level) -> bool:
    """Say whether `level` is at least `required`."""
    return LEVELS.index(level) >= LEVELS.index(required)
