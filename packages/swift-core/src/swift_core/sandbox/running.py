"""Start one program in a confined process, read what it prints, and say how it ended."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import tempfile
import time
from typing import IO, Any, Literal

from swift_core.sandbox.child.program import NOT_CONFINED, OUT_OF_MEMORY
from swift_core.sandbox.failures import SandboxUnavailableError
from swift_core.sandbox.launch import SOURCE, child_command, confinement, installed_folders, kill, start
from swift_core.sandbox.levels import Level
from swift_core.sandbox.program import ProgramResult, ProgramStatus, same_output

_ERROR_BYTES = 1 << 16
_CHUNK = 1 << 16


def run(
    code: str,
    stdin: str,
    *,
    timeout: float,
    memory: int,
    expected: str | None,
    packages: bool,
    output_bytes: int,
    level: Level,
    require: Level,
) -> ProgramResult:
    """Run a program; see `run_python`."""
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


def _run(job: dict[str, Any], stdin: str, timeout: float, expected: str | None, output_bytes: int) -> ProgramResult:
    begun = time.monotonic()
    with _file(json.dumps(job).encode("ascii")) as told, _file(stdin.encode("utf-8", "surrogatepass")) as given:
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
