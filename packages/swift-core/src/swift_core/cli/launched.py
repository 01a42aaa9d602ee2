"""A process that a launcher started ends with it: left alone it would go on writing where the next start writes."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_launcher() -> None:
    """Let the kernel kill this process when the launcher that started it is killed (Linux).

    Launchers of torch start their processes in sessions of their own, which a kill of the launcher does not reach.
    """
    if sys.platform != "linux" or "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    launcher = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:  # it ended meanwhile
        os.kill(os.getpid(), signal.SIGKILL)
