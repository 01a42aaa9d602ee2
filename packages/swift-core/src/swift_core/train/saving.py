"""A commit round what Trainer, procedures and callbacks write of a checkpoint.

While a checkpoint is written `args.output_dir` is a folder beside it, so that all of them write there, on every
process. When all are done, and none of them failed, the first process puts the checkpoint in its place.
"""

from __future__ import annotations

import pickle
import shutil
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch.distributed.tensor import DTensor

from swift_core.artifacts.checkpoint import commit, folder_of, newest_first, staging_of
from swift_core.artifacts.checkpoint_manifest import BrokenCheckpointError
from swift_core.artifacts.disk import no_room
from swift_core.artifacts.flushing import flushing
from swift_core.errors import NonFiniteError, Problem, SwiftError
from swift_core.train.engine.zero import own_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor, nn

    from swift_core.train.trainer import SwiftTrainer

WRITING = (OSError, RuntimeError, SafetensorError)
"""What a failed write raises: the system's error, or what torch and safetensors make of it."""


class Saving:
    """Writes the checkpoints of one trainer."""

    def __init__(self, trainer: SwiftTrainer) -> None:
        """Take the trainer."""
        self._trainer = trainer
        self.about: Mapping[str, Any] = {}
        """What manifests keep of the run."""
        self._run: Path | None = None
        self._writing = ExitStack()

    def begin(self) -> None:
        """Let everything be written beside the checkpoint's place from now on."""
        args, step = self._trainer.args, self._trainer.state.global_step
        refuse_nonfinite(self._trainer.module, f"the checkpoint of step {step}")
        self._run = Path(str(args.output_dir))
        staging = staging_of(self._run, step)
        args.output_dir = str(staging)
        staging.mkdir(parents=True, exist_ok=True)
        self._writing.enter_context(_without_crc32())
        if args.should_save:
            self._writing.enter_context(flushing(staging))

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Commit when the block ends, if a checkpoint was begun in it; tell a disk without room as such.

        Raises:
            SwiftError: A process could not write its part; older checkpoints stand as they did.
        """
        problem = None
        try:
            with ExitStack() as self._writing:
                yield
        except WRITING as error:
            problem = self._problem(error)
            if problem is None:
                raise
        finally:
            run, self._run = self._run, None
            if run is not None:
                self._trainer.args.output_dir = str(run)
        if run is None:
            if problem is not None:
                raise SwiftError(problem)
            return
        place = self._finish(run, problem)
        parts, step = self._trainer.parts, self._trainer.state.global_step
        parts.hooks.hook.swift_checkpoint_saved(parts=parts, step=step, directory=place)

    @contextmanager
    def reading(self, checkpoint: Path) -> Iterator[None]:
        """Tell of a state that holds more than tensors and plain values: torch refuses to unpickle it, and so do we."""
        try:
            yield
        except pickle.UnpicklingError as error:
            message = f"{checkpoint} holds a state that is more than tensors and plain values, so it is not read."
            next_step = "go on from a checkpoint that swift wrote"
            raise SwiftError(Problem("unsafe-checkpoint", message, next_step=next_step)) from error

    def _finish(self, run: Path, problem: Problem | None) -> Path:
        """Put the checkpoint in its place once all processes have written; raise what any of them met."""
        args, step = self._trainer.args, self._trainer.state.global_step
        problems = self._gathered(problem)
        if not problems and args.should_save:
            try:
                commit(run, step=step, world=args.world_size, about=self._about(), limit=args.save_total_limit or 1)
            except WRITING as error:
                problem = self._problem(error, run)
                if problem is None:
                    raise
            except BrokenCheckpointError as error:
                problem = Problem("checkpoint-content", f"The checkpoint of step {step} {error}.")
        problems = problems or self._gathered(problem)
        if problems:
            if args.should_save:
                shutil.rmtree(staging_of(run, step), ignore_errors=True)
            raise SwiftError(problems[0])
        return folder_of(run, step)

    def _about(self) -> dict[str, Any]:
        """Return what the manifest keeps, with the held-out loss where this step was judged."""
        state = self._trainer.state
        lines = (line for line in reversed(state.log_history) if line.get("step") == state.global_step)
        loss = next((line["eval_loss"] for line in lines if "eval_loss" in line), None)
        return {**self.about, **({"eval_loss": float(loss)} if loss is not None else {})}

    def _gathered(self, problem: Problem | None) -> list[Problem]:
        """Return the problems of all processes; every one of them waits here for the others."""
        if self._trainer.args.world_size == 1:
            return [problem] if problem else []
        all_of_them: list[Problem | None] = [None] * dist.get_world_size()
        dist.all_gather_object(all_of_them, problem)
        return [one for one in all_of_them if one is not None]

    def _problem(self, error: BaseException, run: Path | None = None) -> Problem | None:
        """Return the problem of a failed write for want of room; None when the error is something else."""
        trainer = self._trainer
        step, run = trainer.state.global_step, run or self._run or trainer.parts.directory
        last = next((path for path in newest_first(run)), None)
        kept = f"{last} stays as it is." if last else "There is no earlier checkpoint."
        folder = staging_of(run, step)
        what = f"The checkpoint of step {step}" if folder.exists() else f"What step {step} logs"
        resume = f"--resume {run}" if last else "--resume auto"
        file = getattr(trainer.parts.plan.config, "path", "RUN.yaml")
        next_step = f"make room, then go on: swift train {file} {resume}"
        return no_room(error, folder, what, last_good=kept, next_step=next_step)


@contextmanager
def _without_crc32() -> Iterator[None]:
    """Let torch leave checksums out, a third of its time on a save: the manifest has a better hash of each file."""
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        yield
    finally:
        torch.serialization.set_crc32_options(before)


def refuse_nonfinite(model: nn.Module, what: str) -> None:
    """Raise NonFiniteError when a trained weight is no finite number: it is never written.

    Where processes share weights out, all of them must ask; all raise when one of them finds such a number.
    """
    with _one_thread():
        own = next((name for name, value in _own_parts(model) if not _is_finite(value)), None)
    names = [own]
    if dist.is_initialized():
        names = [None] * dist.get_world_size()
        dist.all_gather_object(names, own)
    name = next((name for name in names if name is not None), None)
    if name is not None:
        message = f"the weight {name} holds a number that is not finite, so {what} is not written."
        next_step = "go on from the last checkpoint with a lower train.learning_rate"
        raise NonFiniteError(Problem("non-finite-weights", message, next_step=next_step))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute with one thread: memory is what a sum waits for, and on a busy machine threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _own_parts(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield what this process has of the trained weights."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            value = own_part(parameter)
            yield name, value.to_local() if isinstance(value, DTensor) else value


def _is_finite(value: Tensor) -> bool:
    """Say whether all of `value` is finite; its sum tells at once, unless only the sum is too large."""
    return bool(torch.isfinite(value.sum())) or bool(torch.isfinite(value).all())
