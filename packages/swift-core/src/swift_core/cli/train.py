"""`swift train`: train what a run file describes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, cast

import click


@click.command("train")
@click.argument("run_file", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--resume",
    default="never",
    metavar="auto|never|PATH",
    help="Go on with a run directory or checkpoint; auto finds the run, or begins one. [default: never]",
)
@click.option("--resume-changed", is_flag=True, help="Go on although the run file or plugins have changed since.")
@click.option("--allow-code", is_flag=True, help="Run plugin files beside the run file without asking.")
def command(run_file: Path, overrides: tuple[str, ...], resume: str, resume_changed: bool, allow_code: bool) -> None:
    """Train what RUN_FILE describes; KEY=VALUE changes it, as in train.learning_rate=1e-4."""
    from swift_core.run import run

    is_first = os.environ.get("RANK", "0") == "0"
    directory = run(
        run_file,
        overrides,
        resume=Path(resume) if resume not in ("auto", "never") else cast("Literal['auto', 'never']", resume),
        resume_changed=resume_changed,
        allow_code=allow_code,
        tell=lambda line: click.echo(line, err=True) if is_first else None,
    )
    if is_first:
        click.echo(f"next: swift report {directory} · swift infer {directory} --prompt ...")
