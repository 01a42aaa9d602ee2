"""How well this machine can confine a process: found by confining one."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from swift_core.sandbox.failures import SandboxUnavailableError
from swift_core.sandbox.levels import LEVELS, Level
from swift_core.sandbox.program import run_python


@dataclass(frozen=True, slots=True)
class Probe:
    """The best level that is reached here."""

    level: Level
    reasons: dict[Level, str]
    """For each level that is not reached, why."""


@functools.lru_cache(maxsize=1)
def probe() -> Probe:
    """Return the best level of this machine; starts a confined process for each level, some 0.1 s in all."""
    tried = {level: _reason(level) for level in LEVELS[2:]}
    reached = [level for level, reason in tried.items() if not reason]
    return Probe(reached[-1] if reached else "L1", {level: reason for level, reason in tried.items() if reason})


def _reason(level: Level) -> str:
    """Return why `level` is not reached, or an empty text."""
    try:
        run_python("", timeout=30.0, level=level, require=level)
    except SandboxUnavailableError as error:
        return error.reason
    return ""


def require(level: Level) -> None:
    """Raise SandboxUnavailableError when this machine does not reach `level`."""
    found = probe()
    if level > found.level:
        raise SandboxUnavailableError(level, found.level, found.reasons[level])
