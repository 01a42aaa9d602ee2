"""A run, from its file to its directory. Read this first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from swift_core.artifacts.directory import write
from swift_core.assemble import assemble
from swift_core.config.load import load
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve
from swift_core.train import train


def run(path: Path, overrides: Sequence[str] = (), *, resume: Path | None = None) -> Path:
    """Train what the run file at `path` describes; return the run directory."""
    config = load(path, overrides)  # config/    YAML -> RunConfig, every error with file:line:column
    plan = resolve(config, installed())  # resolve/   names -> plugins, options -> checked options; no torch yet
    parts = assemble(plan, resume=resume)  # assemble/  model, tuner, data, loss, optimizer, callbacks: live objects
    result = train(parts)  # train/     one procedure per stage, on transformers.Trainer
    return write(result)  # artifacts/ the run directory: adapter, metrics, plan, report
