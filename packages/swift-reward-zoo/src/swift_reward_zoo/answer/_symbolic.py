"""A computer algebra system at arm's length: one child process, asked over pipes, killed when it takes too long.

Only a separate process can be stopped for certain: SymPy may stay in C code that nothing interrupts, and signals
do not reach other threads. The child is started when first needed, kept, and replaced after a kill.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import queue
import subprocess
import sys
import threading
from typing import Any

_START_SECONDS = 60.0
_KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP")
_PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {module} import main; main()"
_logger = logging.getLogger(__name__)


class TookTooLongError(Exception):
    """The child did not answer in time, or died of the question."""


class Solver:
    """The child process. Calls from several threads take turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._owner = 0

    def ask(self, question: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Return the child's answer to `question`; raise TookTooLongError after `timeout` seconds."""
        with self._lock:
            child = self._running()
            try:
                assert child.stdin is not None
                child.stdin.write(json.dumps(question) + "\n")
                child.stdin.flush()
                line = self._answers.get(timeout=timeout)
            except (queue.Empty, OSError):
                line = None
            if line is None:
                self._kill()
                raise TookTooLongError(f"no answer within {timeout:g} seconds")
            answer: dict[str, Any] = json.loads(line)
            return answer

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._kill()

    def _running(self) -> subprocess.Popen[str]:
        """Return the child, started if there is none or if it is another process's (after a fork)."""
        if self._owner != os.getpid():
            self._child = None
        if self._child is None or self._child.poll() is not None:
            self._start()
        assert self._child is not None
        return self._child

    def _start(self) -> None:
        self._owner, self._answers = os.getpid(), queue.Queue()
        program = _PROGRAM.format(module="swift_reward_zoo.answer._symbolic_child")
        environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-c", program, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=environment,
        )
        threading.Thread(target=_read_lines, args=(self._child, self._answers), daemon=True).start()
        try:
            ready = self._answers.get(timeout=_START_SECONDS)
        except queue.Empty:
            ready = None
        if ready is None:
            self._kill()
            raise RuntimeError(
                "the process that runs math-verify did not start: is math-verify installed and importable?"
            )

    def _kill(self) -> None:
        if self._child is None or self._owner != os.getpid():
            return
        self._child.kill()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None and not stream.closed:
                _close_quietly(stream)
        self._child = None


def _read_lines(child: subprocess.Popen[str], answers: queue.Queue[str | None]) -> None:
    """Hand the child's lines over; None when it has ended."""
    assert child.stdout is not None
    try:
        for line in child.stdout:
            answers.put(line)
    except ValueError:  # closed by _kill while we read
        pass
    answers.put(None)


def _close_quietly(stream: Any) -> None:
    try:
        stream.close()
    except OSError:  # a half-written question to a dead child
        _logger.debug("a pipe was already broken")


SOLVER = Solver()
atexit.register(SOLVER.close)
