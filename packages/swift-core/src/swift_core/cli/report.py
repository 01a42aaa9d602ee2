"""`swift report`: write a run's report again from the files of its directory."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
def command(run: Path) -> None:
    """Write RUN/report.html anew and print its path; works while RUN trains, too."""
    from swift_core.artifacts.report import write_report

    click.echo(write_report(run))
