"""`swift train --nproc N`: torch's own launcher (torchrun), told what to start; nothing of it is made here.

On several machines each has a launcher of its own; they meet at the rendezvous endpoint, which the first one serves.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.errors import Problem, SwiftError
from swift_core.resolve.memory import less_memory
from swift_core.resolve.parallel import launch_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from swift_core.contracts.handover import RunConfig, RunPlan

PATIENCE = 300
"""Seconds that processes have to write a checkpoint after a signal; torchrun's own 30 are too few for large models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Where the launchers of several machines meet; the names are torchrun's."""

    min_nodes: int = 1
    max_nodes: int = 1
    rdzv_endpoint: str = ""
    rdzv_id: str = "swift"
    rdzv_conf: Mapping[str, str] | None = None
    local_addr: str = ""

    @property
    def of_several(self) -> bool:
        """Whether other machines take part."""
        return self.max_nodes > 1


def meeting_of(
    nnodes: str, config: RunConfig, *, rdzv_endpoint: str, rdzv_id: str, rdzv_conf: str, local_addr: str
) -> Meeting:
    """Return where launchers meet, from the options of `swift train` and the run file.

    Raises:
        SwiftError: An option is not what torchrun takes, or several machines have nowhere to meet.
    """
    low, _, high = (nnodes or str(config.settings.device.nodes)).partition(":")
    high = high or low
    if not (low.isdecimal() and high.isdecimal() and 0 < int(low) <= int(high)):
        raise SwiftError(Problem("launch", f"--nnodes takes N or MIN:MAX, got {nnodes!r}."))
    pairs = [pair.partition("=") for pair in rdzv_conf.split(",") if pair]
    if not all(name and value for name, _, value in pairs):
        raise SwiftError(Problem("launch", f"--rdzv-conf takes KEY=VALUE,KEY=VALUE, got {rdzv_conf!r}."))
    if int(high) > 1 and not rdzv_endpoint:
        message = f"{high} machines take part, and --rdzv-endpoint does not say where they meet."
        raise SwiftError(Problem("launch", message, config.place("device.nodes"), launch_line(config)))
    return Meeting(
        min_nodes=int(low),
        max_nodes=int(high),
        rdzv_endpoint=rdzv_endpoint,
        rdzv_id=rdzv_id,
        rdzv_conf={name.strip(): value.strip() for name, _, value in pairs},
        local_addr=local_addr,
    )


def shared_out(config: RunConfig, world: int, nodes: int) -> tuple[str, ...]:
    """Return what changes of a run file when `world` processes on `nodes` machines take the rows of its step.

    Raises:
        SwiftError: The micro-batches of a step cannot be shared evenly by them.
    """
    device, train = config.settings.device, config.settings.train
    batches = device.num_processes * train.gradient_accumulation_steps
    if batches % world:
        message = f"a step has {batches} micro-batches, which {world} processes cannot share evenly."
        next_step = "let train.gradient_accumulation_steps be a multiple of the number of machines"
        place = config.place("train.gradient_accumulation_steps")
        raise SwiftError(Problem("process-count", message, place, next_step))
    alone = ("device.parallel_method=ddp",) if world == 1 else ()  # what one process of torchrun runs
    device_keys = (f"device.num_processes={world}", f"device.nodes={nodes}")
    return (*device_keys, f"train.gradient_accumulation_steps={batches // world}", *alone)


def share_out(run_file: Path, overrides: tuple[str, ...]) -> tuple[str, ...]:
    """Return `overrides` with what the processes that torchrun found now are to do of each step."""
    from swift_core.config.load import load

    world, nodes = int(os.environ["WORLD_SIZE"]), int(os.environ["GROUP_WORLD_SIZE"])
    return instead(overrides, *shared_out(load(run_file, overrides), world, nodes))


def instead(overrides: Sequence[str], *new: str) -> tuple[str, ...]:
    """Return `overrides` with `new` ones, each in the place of an earlier one of its key."""
    keys = {text.partition("=")[0] for text in new}
    return (*(text for text in overrides if text.partition("=")[0] not in keys), *new)


def count(asked: str, config: RunConfig, nodes: int = 1) -> int:
    """Return the number of processes on this machine that `--nproc` means.

    Raises:
        SwiftError: It is neither a number nor `auto`, or nothing says how many `auto` are.
    """
    from swift_core.resolve.machine import this_machine

    device = config.settings.device
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    if asked != "auto":
        raise SwiftError(Problem("launch", f"--nproc takes a number or auto, got {asked!r}."))
    if "device.num_processes" in config.origins:
        return max(1, device.num_processes // nodes)
    gpus = 0 if device.use_cpu else this_machine().num_gpus
    if not gpus:
        message = "--nproc auto is one process for each GPU, and no GPU is used here."
        raise SwiftError(Problem("launch", message, next_step="say how many: --nproc 2"))
    return gpus


def launch(
    plan: RunPlan,
    num_processes: int,
    arguments: Sequence[str],
    *,
    max_restarts: int = 0,
    meeting: Meeting | None = None,
) -> int:
    """Run `swift ARGUMENTS` in so many processes; return the exit code of the one that ended first, or 0.

    Args:
        plan: What they do.
        num_processes: On this machine.
        arguments: Of each process.
        max_restarts: So often all are started again, from the last checkpoint, when one of them died.
        meeting: Where the launchers of other machines are met; None: there are none.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes say what is wrong
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // num_processes)))
    config = LaunchConfig(
        nproc_per_node=num_processes,
        max_restarts=max_restarts,
        shutdown_timeout=PATIENCE,
        **(_together(meeting) if meeting is not None and meeting.of_several else _alone()),
    )
    try:
        elastic_launch(config, sys.executable)("-u", "-m", "swift_core", *arguments)
    except SignalException as error:
        return 128 + int(error.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        return _told(plan, rank, failure.exitcode)
    return 0


def _alone() -> dict[str, Any]:
    """Return what torch's launcher is told where this machine is the only one: nothing listens to others."""
    from swift_core.cli.loopback import ADDRESS, register

    one = {"min_nodes": 1, "max_nodes": 1, "rdzv_endpoint": "", "local_addr": ADDRESS}
    return {**one, "rdzv_backend": register(), "run_id": uuid.uuid4().hex}


def _together(meeting: Meeting) -> dict[str, Any]:
    """Return what torch's launcher is told of other machines, and set what it reads from the environment."""
    # Else a machine that returns asks at its own address for a store that another machine keeps, and all end.
    os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    conf = dict(meeting.rdzv_conf or {})
    if meeting.local_addr:
        is_host = meeting.rdzv_endpoint.rpartition(":")[0] == meeting.local_addr
        conf.setdefault("is_host", str(is_host).lower())
        if interface := _interface(meeting.local_addr):
            for library in ("GLOO", "NCCL"):
                os.environ.setdefault(f"{library}_SOCKET_IFNAME", interface)
    return {
        "min_nodes": meeting.min_nodes,
        "max_nodes": meeting.max_nodes,
        "run_id": meeting.rdzv_id,
        "rdzv_backend": "c10d",
        "rdzv_endpoint": meeting.rdzv_endpoint,
        "rdzv_configs": conf,
        "local_addr": meeting.local_addr or None,
    }


def _interface(address: str) -> str:
    """Return the name of the network interface that has `address`; empty when none has."""
    psutil: Any = importlib.import_module("psutil")  # it has no types
    addresses = psutil.net_if_addrs().items()
    return next((name for name, found in addresses if any(each.address == address for each in found)), "")


def _told(plan: RunPlan, rank: int, code: int) -> int:
    """Say which process was killed, since it could not; return the exit code."""
    if code >= 0:
        return code
    message = f"rank {rank} was ended by {signal.Signals(-code).name} (signal {-code})"
    next_step = f"swift train {plan.config.path} --nproc N --resume auto goes on from the last checkpoint"
    if -code == signal.SIGKILL:
        message += "; the system kills what needs more memory than there is"
        knobs = "; or ".join(less_memory(plan.settings))
        next_step += f"; where memory ran out, with --resume-changed and {knobs}"
    print(Problem("rank-killed", f"{message}.", None, next_step).render(), file=sys.stderr)
    return 128 - code
