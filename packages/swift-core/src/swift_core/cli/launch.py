"""`swift train --nproc N`: torch's own launcher (torchrun), told what to start; nothing of it is made here."""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid
from typing import TYPE_CHECKING

from swift_core.errors import Problem, SwiftError
from swift_core.resolve.parallel import launch_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.contracts.handover import RunPlan

PATIENCE = 300
"""Seconds that processes have to write a checkpoint after a signal; torchrun's own 30 are too few for large models."""


def count(asked: str, plan: RunPlan) -> int:
    """Return the number of processes that `--nproc` means.

    Raises:
        SwiftError: It is neither a number nor `auto`, nothing says how many `auto` are, or several machines take part.
    """
    from swift_core.resolve.machine import this_machine

    device = plan.settings.device
    if device.nodes > 1:
        message = f"device.nodes is {device.nodes}, and --nproc starts the processes of one machine."
        raise SwiftError(Problem("launch", message, plan.config.place("device.nodes"), launch_line(plan.config)))
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    if asked != "auto":
        raise SwiftError(Problem("launch", f"--nproc takes a number or auto, got {asked!r}."))
    if "device.num_processes" in plan.config.origins:
        return device.num_processes
    gpus = 0 if device.use_cpu else this_machine().num_gpus
    if not gpus:
        message = "--nproc auto is one process for each GPU, and no GPU is used here."
        raise SwiftError(Problem("launch", message, next_step="say how many: --nproc 2"))
    return gpus


def launch(num_processes: int, arguments: Sequence[str], *, max_restarts: int = 0) -> int:
    """Run `swift ARGUMENTS` in so many processes; return the exit code of the one that ended first, or 0.

    Args:
        num_processes: On this machine.
        arguments: Of each process.
        max_restarts: So often all are started again, from the last checkpoint, when one of them died.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes say what is wrong
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // num_processes)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=num_processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=max_restarts,
        shutdown_timeout=PATIENCE,
    )
    try:
        elastic_launch(config, sys.executable)("-u", "-m", "swift_core", *arguments)
    except SignalException as error:
        return 128 + int(error.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        return _told(rank, failure.exitcode)
    return 0


def _told(rank: int, code: int) -> int:
    """Say which process was killed, since it could not; return the exit code."""
    if code >= 0:
        return code
    name = signal.Signals(-code).name
    hint = "; the system kills what needs more memory than there is" if -code == signal.SIGKILL else ""
    next_step = "swift train RUN_FILE --nproc N --resume auto goes on from the last checkpoint"
    print(Problem("rank-killed", f"rank {rank} was ended by {name}{hint}.", None, next_step).render(), file=sys.stderr)
    return 128 - code
