"""Workers on this machine, over pipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift_core.sandbox.pool import WorkerPool

if TYPE_CHECKING:
    from swift_core.contracts.pool import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPool:
    """Confined processes of this machine."""

    def workers(self, work: Work, /) -> WorkerPool:
        """Return workers for `work`; none runs yet."""
        return worker_pool(work)


def worker_pool(work: Work) -> WorkerPool:
    """Return confined processes of the machine that this is called on."""
    return WorkerPool(
        work.target,
        work.options,
        num_workers=work.num_workers,
        timeout=work.timeout,
        memory=work.memory,
        require=work.require,
        readable=work.readable,
    )
