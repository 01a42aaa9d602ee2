"""A run, from its file to its directory. Read this first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.artifacts.directory import choose, write
from swift_core.assemble import assemble
from swift_core.config.load import load
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve
from swift_core.train import train

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def run(path: Path, overrides: Sequence[str] = (), *, resume: Path | None = None, allow_code: bool = False) -> Path:
    """Train what the run file at `path` describes; return the run directory.

    Args:
        path: The run file.
        overrides: Changes to it, as `train.learning_rate=1e-4`.
        resume: A run directory to go on with, from its newest checkpoint; None starts a new one.
        allow_code: Run plugin files beside the run file although their folder is not trusted.

    Raises:
        SwiftError: Something the user can mend; nothing was written unless training had begun.
    """
    config = load(path, overrides)  # config/    YAML -> RunConfig, every error with file:line:column
    plan = resolve(
        config, installed(allow_code=allow_code)
    )  # resolve/   names -> plugins, options checked; no torch yet
    directory, checkpoint = choose(plan, resume)  # artifacts/ where it will be written; made when training starts
    parts = assemble(plan, directory, resume=checkpoint)  # assemble/  model, tuner, data, loss, ...: live objects
    result = train(parts)  # train/     one procedure per stage, on transformers.Trainer
    return write(result)  # artifacts/ the run directory: adapter, metrics, plan, report
