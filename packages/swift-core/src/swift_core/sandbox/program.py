"""Run a program that a model wrote: a fresh confined process for each, and the comparison here.

The program is given an input and its output is read. What it should have printed never leaves this process, so that
no program can find it out; and only the whole output counts, so that none passes by ending early or by what it
overrides.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import IO, Any, Literal

from swift_core.sandbox.child.program import NOT_CONFINED, OUT_OF_MEMORY
from swift_core.sandbox.failures import SandboxUnavailableError
from swift_core.sandbox.launch import SOURCE, child_command, confinement, installed_folders, kill, start
from swift_core.sandbox.levels import Level, required

ProgramStatus = Literal["ok", "wrong", "timeout", "memory", "crash"]

_ERROR_BYTES = 1 << 16
_CHUNK = 1 << 16


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
    require = required(require)
    seconds = int(timeout) + 2  # of processor time, should this process not get to end it
    job = {
        "host": os.getpid(),
        "code": code,
        "require": require,
        "path": list(installed_folders()) if packages else [],
        "hidden": [SOURCE],
        "confinement": confinement(max(level, require), memory=memory, packages=packages, cpu_seconds=seconds),
    }
    return _run(job, stdin, timeout, expected, output_bytes)


def same_output(printed: str, expected: str) -> bool:
    """Say whether two outputs are the same but for white space at the ends of lines and empty lines at the end."""
    return _lines(printed) == _lines(expected)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def _run(job: dict[str, Any], stdin: str, timeout: float, expected: str | None, output_bytes: int) -> ProgramResult:
    begun = time.monotonic()
    with _file(json.dumps(job).encode("ascii")) as told, _file(stdin.encode("utf-8", "surrogateescape")) as given:
        process = start(
            child_command("program", str(told.fileno())),
            stdin=given.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(told.fileno(),),
        )
    try:
        reader = _Reader(process, output_bytes)
        end = reader.read(begun + timeout)
    finally:
        kill(process)
    printed, errors = reader.stdout.decode("utf-8", "replace"), reader.stderr.decode("utf-8", "replace")
    if process.returncode == NOT_CONFINED and end == "ended":
        _refuse(job["require"], errors)
    status = _status(end, process.returncode, errors)
    if status == "ok" and expected is not None and not same_output(printed, expected):
        status = "wrong"
    return ProgramResult(status, printed, errors, process.returncode, time.monotonic() - begun)


def _status(end: str, code: int, errors: str) -> ProgramStatus:
    if end == "late" or code == -signal.SIGXCPU:
        return "timeout"
    if end == "flood":
        return "crash"
    if code == OUT_OF_MEMORY or (code and errors.rstrip().endswith("MemoryError")):
        return "memory"
    return "ok" if code == 0 else "crash"


def _refuse(required: Level, errors: str) -> None:
    """Raise SandboxUnavailableError when the process said that it is not confined well enough."""
    try:
        said = json.loads(errors)
        reached, reasons = said["level"], said["reasons"]
    except (ValueError, KeyError, TypeError):
        return  # a program that ended with this code of its own
    raise SandboxUnavailableError(required, reached, "; ".join(reasons.values()))


def _file(content: bytes) -> IO[bytes]:
    """Return an open file without a name that holds `content`."""
    if hasattr(os, "memfd_create"):
        file: IO[bytes] = open(os.memfd_create("swift"), "w+b")  # noqa: SIM115 - whoever called closes it
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - same
    file.write(content)
    file.seek(0)
    return file


class _Reader:
    """Reads both outputs of a process until they end, the time is over, or it printed too much."""

    def __init__(self, process: subprocess.Popen[bytes], output_bytes: int) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.stdout, self.stderr = bytearray(), bytearray()
        self._process, self._limit = process, output_bytes
        self._open = {process.stdout.fileno(): self.stdout, process.stderr.fileno(): self.stderr}

    def read(self, deadline: float) -> Literal["ended", "late", "flood"]:
        poll = select.poll()
        for descriptor in self._open:
            poll.register(descriptor, select.POLLIN)
        while self._open:
            ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
            if not ready:
                return "late"
            for descriptor, _ in ready:
                part = os.read(descriptor, _CHUNK)
                if part:
                    self._open[descriptor] += part
                else:
                    poll.unregister(descriptor)
                    del self._open[descriptor]
            del self.stderr[:-_ERROR_BYTES]
            if len(self.stdout) > self._limit:
                return "flood"
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return "late"
        return "ended"
