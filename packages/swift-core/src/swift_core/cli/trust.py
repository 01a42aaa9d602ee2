"""`swift trust`: let the files of a folder run as plugins."""

from __future__ import annotations

from pathlib import Path

import click

from swift_core.errors import Problem, SwiftError

remote_code_option = click.option(
    "--trust-remote-code",
    "remote_code",
    multiple=True,
    metavar="MODEL@PIN",
    help="Run the code that a model brings, of this commit or with this hash; may be given several times.",
)
"""Of every command that loads a model."""


@click.command("trust")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--forget", is_flag=True, help="No longer trust FOLDER.")
def command(folder: Path | None, forget: bool) -> None:
    """Trust FOLDER: Python files in it, at any depth, may run as plugins of your run files.

    Without FOLDER, list the folders you trust.
    """
    from swift_core.plugins.trust import distrust, trust, trusted_folders

    if folder is None:
        folders = trusted_folders()
        click.echo("\n".join(map(str, folders)) if folders else "no folder is trusted")
        return
    try:
        resolved = distrust(folder) if forget else trust(folder)
    except ValueError as error:
        raise SwiftError(
            Problem("not-a-folder", f"{error}.", next_step="swift trust, to list those you trust")
        ) from error
    click.echo(f"{'forgotten' if forget else 'trusted'}: {resolved}")
