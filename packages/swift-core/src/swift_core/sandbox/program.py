"""Run a program that a model wrote: a fresh confined process for each, and the comparison here.

The program is given an input and its output is read. What it should have printed never leaves this process, so that
no program can find it out; and only the whole output counts, so that none passes by ending early or by what it
overrides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from swift_core.sandbox.levels import Level, required

ProgramStatus = Literal["ok", "wrong", "timeout", "memory", "crash"]


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """How a program ended."""

    status: ProgramStatus
    """`ok`; `wrong` when the output is not the expected one; `timeout`, `memory`; `crash` for every other bad end."""

    stdout: str
    stderr: str
    """The last 64 KB of it."""

    exit_code: int
    """As the system says it: negative for the signal that ended it."""

    seconds: float
    """From start to end."""


def run_python(
    code: str,
    stdin: str = "",
    timeout: float = 10.0,
    memory: int = 512 * 2**20,
    *,
    expected: str | None = None,
    packages: bool = False,
    output_bytes: int = 2**20,
    level: Level = "L2",
    require: Level = "L1",
) -> ProgramResult:
    """Run a Python program in a fresh confined process and say how it ended.

    Args:
        code: The program.
        stdin: What it can read.
        timeout: Seconds that it may take, its start included, > 0.
        memory: Bytes of address space.
        expected: What it must print, compared by `same_output`; None compares nothing.
        packages: Whether it may import what is installed, or the standard library alone.
        output_bytes: How much it may print; more is a crash.
        level: The best level of confinement to try; L3 costs some milliseconds more.
        require: The lowest; below, nothing is run.

    Raises:
        SandboxUnavailableError: The required level is not reached here.
        ValueError: A limit is not positive.
    """
    if timeout <= 0 or memory <= 0 or output_bytes <= 0:
        raise ValueError(f"timeout, memory and output_bytes must be > 0, got {timeout}, {memory}, {output_bytes}")
    from swift_core.sandbox.running import run

    return run(
        code,
        stdin,
        timeout=timeout,
        memory=memory,
        expected=expected,
        packages=packages,
        output_bytes=output_bytes,
        level=level,
        require=required(require),
    )


def same_output(printed: str, expected: str) -> bool:
    """Say whether two outputs are the same but for white space at the ends of lines and empty lines at the end."""
    return _lines(printed) == _lines(expected)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]
