"""`swift export`: the model of a run in another form."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--to", "name", default="merged", show_default=True, help="Exporter: swift plugins list --kind exporter.")
@click.option("--option", "-o", "options", multiple=True, metavar="KEY=VALUE", help="Of the exporter; several times.")
@click.option("--allow-code", is_flag=True, help="Run an exporter in a file beside here without asking.")
def command(run: Path, target: Path, name: str, options: tuple[str, ...], allow_code: bool) -> None:
    """Write the model that RUN, a run directory, trained into the new folder TARGET."""
    from swift_core.artifacts.export import export
    from swift_core.config.overrides import read_values
    from swift_core.plugins.registry import installed

    click.echo(export(run, target, name, read_values(options), installed(allow_code=allow_code)))
