"""What runs in a Ray actor: the confined processes of its machine, asked in JSON."""

from __future__ import annotations

import json
import socket
from typing import Any

import swift_core
from swift_core.builtins.pools._messages import packed, refusal, said
from swift_core.builtins.pools.local import worker_pool
from swift_core.contracts.pool import Work
from swift_core.sandbox.failures import SandboxUnavailableError, WorkerStartError


class Machine:
    """The workers of one machine; every call takes and returns bytes."""

    def __init__(self, work: bytes) -> None:
        """Take what is to be run; no process is started."""
        told = json.loads(work)
        self._work = Work(**{**told, "readable": tuple(told["readable"])})
        self._workers = worker_pool(self._work)

    def start(self) -> bytes:
        """Start a worker; return what it says of itself, or why there is none."""
        about: dict[str, Any] = {"machine": socket.gethostname(), "version": swift_core.__version__}
        try:
            started = self._workers.start()
        except (SandboxUnavailableError, WorkerStartError) as error:
            return packed(about | refusal(error))
        return packed(about | {"level": started.level, "info": started.info})

    def answers(self, items: bytes, timeout: float) -> bytes:
        """Return an answer or a failure for each item."""
        try:
            found = self._workers.map(json.loads(items), timeout)
        except (SandboxUnavailableError, WorkerStartError) as error:
            return packed(refusal(error))
        return packed([said(answer) for answer in found])
