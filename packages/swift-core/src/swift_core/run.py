"""A run, from its file to its directory. Read this first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.artifacts.directory import write
from swift_core.artifacts.start import Resume, choose
from swift_core.assemble import assemble
from swift_core.plugins.registry import installed
from swift_core.read import read_plan
from swift_core.train import train

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


def run(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    resume: Resume = "never",
    resume_changed: bool = False,
    allow_code: bool = False,
    remote_code: Mapping[str, str] | None = None,
    tell: Callable[[str], None] = print,
) -> Path:
    """Train what the run file at `path` describes; return the run directory.

    Args:
        path: The run file.
        overrides: Changes to it, as `train.learning_rate=1e-4`.
        resume: A run directory to go on with, from its newest whole checkpoint, or a checkpoint; `auto` finds the
            run itself and begins one where there is none; `never` begins one.
        resume_changed: Go on although run file, plugins or data have changed since.
        allow_code: Run plugin files beside the run file although their folder is not trusted.
        remote_code: Models whose own code may run -> the commit or hash that pins it.
        tell: Is given each line on what was taken to go on from, and why.

    Raises:
        SwiftError: Something the user can mend; nothing was written unless training had begun.
    """
    # config/ and resolve/: every error of the file with its line, names -> plugins, options checked; no torch yet
    plan = read_plan(path, overrides, installed(allow_code=allow_code, remote_code=remote_code))
    start = choose(plan, resume, accept_changes=resume_changed)  # artifacts/ where it is written; made by training
    for note in start.notes:
        tell(f"resume: {note}")
    if start.is_finished:
        return start.directory
    parts = assemble(plan, start.directory, resume=start.checkpoint)  # assemble/  model, tuner, data, loss, ...
    parts.goes_on = start.goes_on
    result = train(parts)  # train/     one procedure per stage, on transformers.Trainer
    return write(result)  # artifacts/ the run directory: adapter, metrics, plan, report
