"""`swift train`: train what a run file describes."""

from __future__ import annotations

import os
from pathlib import Path

import click


@click.command("train")
@click.argument("run_file", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with this run directory.")
@click.option("--allow-code", is_flag=True, help="Run plugin files beside the run file without asking.")
def command(run_file: Path, overrides: tuple[str, ...], resume: Path | None, allow_code: bool) -> None:
    """Train what RUN_FILE describes; KEY=VALUE changes it, as in train.learning_rate=1e-4."""
    from swift_core.run import run

    directory = run(run_file, overrides, resume=resume, allow_code=allow_code)
    if os.environ.get("RANK", "0") == "0":
        click.echo(f"next: swift report {directory} · swift infer {directory} --prompt ...")
