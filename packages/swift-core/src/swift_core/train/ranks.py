"""Several processes of one run: one directory, one plan, the same plugins, bytes and all."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch.distributed as dist

from swift_core.artifacts.directory import create
from swift_core.artifacts.start import tidy
from swift_core.errors import Problem, SwiftError
from swift_core.plugins.identity import digest

if TYPE_CHECKING:
    from pathlib import Path

    from swift_core.contracts.handover import Parts
    from swift_core.train.trainer import SwiftTrainer


def settle(trainer: SwiftTrainer) -> None:
    """Let all ranks agree on the run directory and on the plugins, and make the directory once.

    Raises:
        SwiftError: A rank sees other plugins than rank 0; no step is taken.
    """
    parts = trainer.parts
    _count(trainer)
    if trainer.args.world_size > 1:
        _compare(parts)
        shared: list[Any] = [parts.directory, parts.resume_from]
        dist.broadcast_object_list(shared)
        _compare_checkpoint(parts, shared[1])
        parts.directory = shared[0]
        trainer.args.output_dir = str(parts.directory)
    if trainer.args.process_index == 0:
        goes_on = parts.goes_on or parts.resume_from is not None
        for note in tidy(parts.directory, parts.resume_from) if goes_on else ():
            print(f"resume: {note}", file=sys.stderr)
        create(parts.plan, parts.directory, resumes=goes_on)
    trainer.accelerator.wait_for_everyone()


def _count(trainer: SwiftTrainer) -> None:
    """Refuse an engine that runs on another number of processes than the run file says."""
    wanted, live = trainer.parts.plan.settings.device.num_processes, trainer.args.world_size
    if wanted != live:
        count = "one process takes" if live == 1 else f"{live} processes take"
        raise SwiftError(
            Problem(
                "process-count",
                f"device.num_processes is {wanted} and {count} part.",
                trainer.parts.plan.config.place("device.num_processes"),
                f"torchrun --nproc-per-node {wanted} -m swift_core train {trainer.parts.plan.config.path}",
            )
        )


def _compare_checkpoint(parts: Parts, first: Path | None) -> None:
    """Raise on all ranks when one of them goes on from another checkpoint than rank 0."""
    differs = [False] * dist.get_world_size()
    dist.all_gather_object(differs, (parts.resume_from and parts.resume_from.name) != (first and first.name))
    if any(differs):
        message = "the ranks do not find the same newest checkpoint in the run directory."
        raise SwiftError(Problem("ranks-differ", message, next_step="put the run directory on a disk that all share"))


def _compare(parts: Parts) -> None:
    own = digest((part.plugin, part.options) for part in parts.plan.parts)
    digests = [""] * dist.get_world_size()
    dist.all_gather_object(digests, own)
    if different := [rank for rank, other in enumerate(digests) if other != digests[0]]:
        ranks = ", ".join(str(rank) for rank in different)
        raise SwiftError(
            Problem(
                "ranks-differ",
                f"the plugins of rank {ranks} are not those of rank 0: other versions, code or options.",
                next_step="install the same wheels on every machine, and compare swift plugins list",
            )
        )
