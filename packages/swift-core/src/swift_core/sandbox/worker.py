"""One confined process that answers calls, as its host sees it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from swift_core.sandbox.child.frames import HEADER, encoded
from swift_core.sandbox.failures import SandboxUnavailableError, WorkerFailure
from swift_core.sandbox.launch import (
    child_command,
    confinement,
    installed_folders,
    kill,
    python_folders,
    site_folders,
    start,
)
from swift_core.sandbox.levels import Level, reaches, required
from swift_core.sandbox.work import Progress, WorkerOptions

_CHUNK = 1 << 16
_GRACE = 0.02
"""Seconds without an answer after which a worker counts as stuck, and others may take what it has not begun."""


class Worker:
    """A running process. Not for several threads at once."""

    def __init__(self, options: WorkerOptions) -> None:
        """Start it, and wait until its code is imported.

        Raises:
            SandboxUnavailableError: It cannot be confined as well as required; nothing was imported.
            WorkerFailure: Its code cannot be imported, or took too long.
        """
        self._limit = options.reply_bytes
        self._received = bytearray()
        self._process = start(
            child_command("worker"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._input, False)
        os.set_blocking(self._output, False)
        try:
            self.level, self.info = self._introduce(options)
        except BaseException:
            self.close()
            raise

    def _introduce(self, options: WorkerOptions) -> tuple[Level, Any]:
        deadline = time.monotonic() + options.start_seconds
        self._send(_settings(options), deadline)
        hello = self._receive(deadline)
        level: Level = hello["level"]
        wanted = required(options.require)
        if not reaches(level, wanted):
            raise SandboxUnavailableError(wanted, level, "; ".join(hello["reasons"].values()))
        ready = self._receive(deadline)
        if "error" in ready:
            raise failure_from(ready["error"])
        return level, ready["info"]

    @property
    def alive(self) -> bool:
        """Say whether the process runs."""
        return self._process.poll() is None

    @property
    def process_id(self) -> int:
        """The number of the process."""
        return self._process.pid

    def run(self, items: Sequence[Any], timeout: float, progress: Progress) -> None:
        """Answer `items` in turn, each within `timeout` seconds, and tell `progress` of each.

        A result is the handler's, or the WorkerFailure of an item whose handler raised. When an item takes too long or
        ends the process, `run` raises; `progress.num_done` is its place. After that the worker can only be closed.

        Raises:
            WorkerFailure: `timeout`, `crash` or `flood`.
            TypeError: JSON cannot say an item.
        """
        begun = time.monotonic()
        self._send({"items": list(items)}, begun + timeout)
        ended_early = False
        while True:
            reply = self._receive_or_tell(begun, timeout, progress, told=ended_early)
            if reply is _STOP:
                self._send({}, begun + timeout)
                ended_early = True
                continue
            if reply is None:
                return
            index, result, failure = reply
            if index != progress.num_done:
                raise WorkerFailure("flood", "it answered something that it was not asked")
            progress.num_done += 1
            progress.on_result(index, result if failure is None else failure_from(failure))
            begun = time.monotonic()

    def _receive_or_tell(self, begun: float, timeout: float, progress: Progress, *, told: bool) -> Any:
        """Return the next reply, or _STOP when the rest of the batch shall be given back."""
        while True:
            now = time.monotonic()
            limit = begun + timeout
            reply = self._next(min(limit, max(now, begun) + _GRACE) if not told else limit)
            if reply is not _NOTHING:
                return reply
            waited = time.monotonic() - begun
            if waited >= timeout:
                raise WorkerFailure("timeout", f"no answer within {timeout:g} seconds")
            if not told and progress.on_stuck(progress.num_done, waited):
                return _STOP

    def _receive(self, deadline: float) -> Any:
        reply = self._next(deadline)
        if reply is _NOTHING:
            raise WorkerFailure("timeout", "it did not start in time")
        return reply

    def _next(self, deadline: float) -> Any:
        """Return the next message, or _NOTHING when there is none until `deadline`."""
        while True:
            message = self._message()
            if message is not _NOTHING:
                return message
            if not _ready(self._output, select.POLLIN, deadline):
                return _NOTHING
            try:
                part = os.read(self._output, _CHUNK)
            except BlockingIOError:
                continue
            if not part:
                raise WorkerFailure("crash", self._last_words())
            self._received += part

    def _message(self) -> Any:
        """Take one whole message off what was received."""
        if len(self._received) < HEADER.size:
            return _NOTHING
        (length,) = HEADER.unpack_from(self._received)
        if length > self._limit:
            raise WorkerFailure("flood", f"an answer of {length} bytes, and {self._limit} are allowed")
        end = HEADER.size + length
        if len(self._received) < end:
            return _NOTHING
        body = bytes(self._received[HEADER.size : end])
        del self._received[:end]
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            raise WorkerFailure("flood", "it answered something that is not JSON") from None
        if not (message is None or isinstance(message, dict) or (isinstance(message, list) and len(message) == 3)):
            raise WorkerFailure("flood", "it answered something that it was not asked")
        return message

    def _send(self, message: Any, deadline: float) -> None:
        rest = memoryview(encoded(message))
        while rest:
            if not _ready(self._input, select.POLLOUT, deadline):
                raise WorkerFailure("timeout", "it does not take what it is asked")
            rest = rest[self._write(rest) :]

    def _write(self, rest: memoryview) -> int:
        try:
            return os.write(self._input, rest)
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            raise WorkerFailure("crash", self._last_words()) from None

    def _last_words(self) -> str:
        """Say how the process ended."""
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return "it closed its pipe"
        if code < 0:
            return f"the process was ended by {signal.Signals(-code).name}"
        return f"the process ended with exit code {code}"

    def close(self) -> None:
        """Kill the process."""
        kill(self._process)


_NOTHING, _STOP = object(), object()


def _ready(descriptor: int, event: int, deadline: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, event)
    return bool(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))


def failure_from(said: Any) -> WorkerFailure:
    """Return what a worker said of an exception."""
    if not isinstance(said, dict):
        return WorkerFailure("error", "it failed and did not say how")
    kind = "memory" if said.get("kind") == "memory" else "error"
    exception, message, place = (str(said.get(key, "")) for key in ("exception", "message", "place"))
    if kind == "memory":
        return WorkerFailure("memory", "it needed more memory than it may have", place=place)
    return WorkerFailure("error", message, exception=exception, place=place)


def _settings(options: WorkerOptions) -> dict[str, Any]:
    return {
        "host": os.getpid(),
        "confinement": confinement(
            max(options.level, required(options.require)),
            memory=options.memory,
            packages=True,
            readable=options.readable,
        ),
        "path": [*python_folders_on_path(), *installed_folders()],
        "sites": list(site_folders()),
        "target": options.target,
        "options": options.options,
    }


def python_folders_on_path() -> list[str]:
    """Return the standard library's places on the module search path."""
    known = set(python_folders())
    return [path for path in sys.path if path in known]
