"""Which of several processes tells of an error: the one that failed first. The others fail because it did."""

from __future__ import annotations

import os
import time
from datetime import timedelta

from swift_core.assemble.broken_part import is_lost_process

_WAIT = 10.0
"""Seconds in which the launcher ends a process whose neighbour died."""


def is_one_of_several() -> bool:
    """Say whether a launcher started this process beside others."""
    return os.environ.get("WORLD_SIZE", "1") not in ("", "1")


def speaks(error: BaseException) -> bool:
    """Say whether this process is the first to fail, and so the one that tells; the only process always does.

    A process that only lost its neighbour waits for the end that the launcher gives it.
    """
    if not is_one_of_several():
        return True
    if is_lost_process(error):
        time.sleep(_WAIT)
    return _claims()


def rank_of() -> str:
    """Return `rank 1 of 2`."""
    return f"rank {os.environ.get('RANK', '0')} of {os.environ.get('WORLD_SIZE', '1')}"


def _claims() -> bool:
    """Count up in the launcher's store, which outlives all processes; without one every process tells."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return True
    from torch._C._distributed_c10d import TCPStore
    from torch.distributed import DistError

    try:
        store = TCPStore(
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, timeout=timedelta(seconds=10)
        )
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return int(store.add(f"swift/failed/{attempt}", 1)) == 1
    except (DistError, RuntimeError):  # the launcher is gone: better said twice than not at all
        return True
