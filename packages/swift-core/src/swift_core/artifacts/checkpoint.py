"""Checkpoints that are there whole or not at all.

A checkpoint is written into `.saving-N/checkpoint-N`, beside its place. When every process has written its part, the
first one lists sizes and hashes in a manifest, brings all of it to the disk and renames the folder to `checkpoint-N`:
a run that is killed at any moment leaves its older checkpoints untouched, and a leftover that nobody takes for one.
Older ones are deleted after that rename.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.artifacts.checkpoint_manifest import (
    BrokenCheckpointError,
    Manifest,
    flush_folder,
    read_manifest,
    verify,
    write_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = re.compile(r"checkpoint-(\d+)")
SET_ASIDE = "set-aside"
"""Folder of a run for checkpoints that the run went back behind."""

_PICKLED = "training_args.bin"
"""Trainer pickles its arguments into every checkpoint, and nothing reads them."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A checkpoint and whether it is whole."""

    path: Path
    step: int
    manifest: Manifest | None
    problem: str = ""
    """Why it is not, in words that follow its path."""


def folder_of(run: Path, step: int) -> Path:
    """Return where the checkpoint of `step` stands once it is whole."""
    return run / f"checkpoint-{step}"


def staging_of(run: Path, step: int) -> Path:
    """Return the folder that takes the place of the run directory while the checkpoint of `step` is written."""
    return run / f".saving-{step}"


def commit(run: Path, *, step: int, world: int, about: Mapping[str, Any], limit: int) -> Path:
    """Finish the checkpoint that was written under `staging_of`, put it in its place, and delete what is too old.

    Args:
        run: The run directory.
        step: Optimizer steps done.
        world: Number of processes that wrote it.
        about: What the manifest keeps of the run; a number `eval_loss` makes the lowest one stay.
        limit: Newest checkpoints that are kept, beside the best.

    Raises:
        OSError: The disk refused; nothing that stood there before has changed.
    """
    staging, place = staging_of(run, step), folder_of(run, step)
    staged = staging / place.name
    (staged / _PICKLED).unlink(missing_ok=True)
    for code in staged.rglob("*.py"):  # of a model that brings its own; it is read from where the model lies
        code.unlink()
    write_manifest(staged, step=step, world=world, about=about)
    old = _old(place)
    if place.exists():  # the same step once more, as at the end of an epoch
        place.rename(old)
    staged.rename(place)
    flush_folder(run)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(staging, ignore_errors=True)
    rotate(run, limit)
    return place


def rotate(run: Path, limit: int) -> None:
    """Delete all checkpoints but the newest `limit` and the best; one whose manifest is broken counts as none."""
    known = [(path, manifest) for path in newest_first(run) if (manifest := _said(path)) is not None]
    losses = {path: loss for path, manifest in known if (loss := manifest.about.get("eval_loss")) is not None}
    kept = {path for path, _ in known[:limit]} | ({min(losses, key=losses.__getitem__)} if losses else set())
    for path, _ in known:
        if path not in kept:
            doomed = path.with_name(f".{path.name}.deleting")
            path.rename(doomed)  # in one call, so that no half of it is ever taken for a checkpoint
            shutil.rmtree(doomed, ignore_errors=True)


def clean(run: Path) -> list[str]:
    """Remove what a killed run left of unfinished work; return a line on each thing."""
    notes = []
    for pattern, what in (
        (".saving-*", "a checkpoint that was being written"),
        (".*.old", "what was being replaced"),
        (".checkpoint-*.deleting", "a checkpoint that was being deleted"),
        (".*.part", "a file that was being written"),
    ):
        for path in sorted(run.glob(pattern)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
            notes.append(f"removed {path.name}, {what} when a run was killed")
    return notes


def put_back(run: Path) -> None:
    """Give a checkpoint its name again that a killed run was about to replace."""
    for old in run.glob(".checkpoint-*.old"):
        place = run / old.name[1 : -len(".old")]
        if not place.exists():
            with contextlib.suppress(FileNotFoundError):  # another process of this run was faster
                old.rename(place)


def set_aside(run: Path, step: int) -> list[str]:
    """Move checkpoints of steps after `step` away, since the run makes those steps again; return a line on each."""
    notes = []
    for path in newest_first(run):
        if step_of(path) > step:
            number, place = 1, run / SET_ASIDE / path.name
            while place.exists():
                number, place = number + 1, run / SET_ASIDE / f"{path.name}.{number + 1}"
            place.parent.mkdir(exist_ok=True)
            path.rename(place)
            notes.append(f"moved {path.name} to {place.relative_to(run)}: those steps are made again")
    return notes


def standing(path: Path) -> Standing:
    """Return whether the checkpoint at `path` is whole; every file is read."""
    try:
        manifest = verify(path)
        if manifest.step != step_of(path):
            raise BrokenCheckpointError(f"holds the checkpoint of step {manifest.step}")
    except BrokenCheckpointError as error:
        return Standing(path, step_of(path), None, str(error))
    return Standing(path, manifest.step, manifest)


def newest_first(run: Path) -> list[Path]:
    """Return the folders of a run that are named as checkpoints, whole or not."""
    found = [path for path in run.glob("checkpoint-*") if is_named(path) and (path.is_dir() or path.is_symlink())]
    return sorted(found, key=step_of, reverse=True)


def is_named(path: Path) -> bool:
    """Say whether `path` has the name of a checkpoint."""
    return NAME.fullmatch(path.name) is not None


def step_of(path: Path) -> int:
    """Return the step in the name of a checkpoint."""
    return int(path.name.rpartition("-")[2])


def _said(path: Path) -> Manifest | None:
    try:
        return read_manifest(path)
    except BrokenCheckpointError:
        return None


def _old(place: Path) -> Path:
    return place.with_name(f".{place.name}.old")
