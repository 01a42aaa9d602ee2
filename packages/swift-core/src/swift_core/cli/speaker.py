"""Which of several processes tells of an error: the one that failed first. The others fail because it did."""

from __future__ import annotations

import os
import time
from datetime import timedelta

_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Application timeout", "NCCL")
"""What torch's collectives say in a process that is well when another one is gone."""

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
    if lost_another(error):
        time.sleep(_WAIT)
    return _claims()


def lost_another(error: BaseException) -> bool:
    """Say whether `error` is that another process is gone."""
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _LOST)


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
