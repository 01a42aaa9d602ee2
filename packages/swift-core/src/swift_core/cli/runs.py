"""`swift runs`: what runs there are, and whether their checkpoints are as they were written."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from swift_core.errors import shown


@click.group("runs")
def command() -> None:
    """List runs, and check their checkpoints."""


@command.command("list")
@click.argument("directory", type=click.Path(path_type=Path), default=Path("runs"), metavar="[DIR]")
def list_runs(directory: Path) -> None:
    """List the runs in DIR (runs/ when left out): how each ended, and its newest checkpoint."""
    from swift_core.artifacts.run_list import listed

    found = listed(directory)
    for run in found:
        click.echo(shown(f"{run.path}  {run.state}  {run.what}  {run.checkpoint}"))
    if not found:
        click.echo(f"there is no run in {directory}")


@command.command("verify")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
def verify(run: Path) -> None:
    """Read every file of the checkpoints of RUN, or of one checkpoint, and compare them with their manifests.

    The exit code is 1 when one of them is damaged.
    """
    from swift_core.artifacts.run_list import verified

    standings = verified(run)
    for one in standings:
        if one.manifest is None:
            click.echo(shown(f"{one.path}  DAMAGED  {one.problem}"))
        else:
            click.echo(f"{one.path}  whole  {len(one.manifest.files)} files, {one.manifest.num_bytes} bytes")
    if not all(one.manifest for one in standings):
        sys.exit(1)
