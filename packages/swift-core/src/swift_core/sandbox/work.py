"""What a worker is told and tells: its options, and how far it is with a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from swift_core.sandbox.levels import Level


@dataclass(frozen=True)
class WorkerOptions:
    """What a worker runs, and what it is left with."""

    target: str
    """`module:attribute`; called with `options` it returns what answers one item."""

    options: Any = None
    """Plain data for `target`."""

    level: Level = "L3"
    """The best level to try."""

    require: Level = "L1"
    """The lowest level to run at; below, nothing is imported."""

    memory: int = 2 * 2**30
    """Bytes of address space."""

    reply_bytes: int = 8 * 2**20
    """Longest answer to one item; more is a flood."""

    start_seconds: float = 60.0
    """Seconds in which it must have imported its code."""

    readable: tuple[str, ...] = ()
    """Files and folders that it may read, beside Python and what is installed."""


@dataclass
class Progress:
    """How far a worker is with a batch."""

    num_done: int = 0
    on_result: Callable[[int, Any], None] = field(default=lambda index, result: None)
    on_stuck: Callable[[int, float], bool] = field(default=lambda index, seconds: False)
    """Called with the item that takes long and its seconds; True when the items after it are somebody else's now."""
