"""Several processes of one run: one directory, one plan, the same plugins, bytes and all."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import torch.distributed as dist

from swift_core.artifacts.directory import create
from swift_core.artifacts.drift import identity
from swift_core.artifacts.start import tidy
from swift_core.contracts.plan_json import versions
from swift_core.errors import Problem, SwiftError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from swift_core.contracts.handover import Parts, RunPlan
    from swift_core.train.trainer import SwiftTrainer

_SHOWN = 3
"""Differences of a rank that a message names."""


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
            print(shown(f"resume: {note}"), file=sys.stderr)
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
    """Raise on all ranks when one of them has another plan, other plugins or other libraries than rank 0."""
    everyone: list[dict[str, str]] = [{}] * dist.get_world_size()
    dist.all_gather_object(everyone, facts(parts.plan))
    if different := differences(everyone):
        next_step = "install the same wheels and give the same run file on every machine, then compare swift doctor"
        raise SwiftError(Problem("ranks-differ", f"the ranks are not alike: {different}.", next_step=next_step))


def facts(plan: RunPlan) -> dict[str, str]:
    """Return what must be the same on all ranks: settings, bytes and options of plugins, data files, libraries."""
    known = identity(plan)
    options = {part.key: dict(part.options) for part in plan.parts}
    plugins = {
        f"plugin {key}": json.dumps([lock, options.get(key)], sort_keys=True, default=str)
        for key, lock in known["plugins"].items()
    }
    settings = {f"setting {key}": json.dumps(value) for key, value in known["settings"].items()}
    data = {f"data file {name}": content for name, content in known["data"].items()}
    return {**settings, **plugins, **data, **versions(plan)}


def differences(everyone: Sequence[Mapping[str, str]]) -> str:
    """Return in words which rank differs from rank 0, and in what; empty when none does."""
    lines = []
    for rank, own in enumerate(everyone):
        first = everyone[0]
        names = [name for name in {**first, **own} if first.get(name) != own.get(name)]
        shown = [_difference(name, first.get(name, "nothing"), own.get(name, "nothing")) for name in names[:_SHOWN]]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        if names:
            lines.append(f"rank {rank} has {', '.join(shown)}{more}")
    return "; ".join(lines)


def _difference(name: str, first: str, own: str) -> str:
    if name.startswith("plugin "):
        return f"other code or options of the {name}"
    return f"{name} {own} where rank 0 has {first}"
