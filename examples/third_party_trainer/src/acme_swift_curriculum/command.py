"""The command `swift lengths`."""

from pathlib import Path

import click

from acme_swift_curriculum.lengths import in_words, row_lengths
from swift_core.plugin_api import Problem, SwiftError


@click.command("lengths")
@click.argument("directory", type=click.Path(path_type=Path))
def lengths(directory: Path) -> None:
    """Show how long the rows were that a run of stage curriculum trained on, step by step."""
    try:
        found = row_lengths(directory)
    except ValueError as error:
        raise SwiftError(
            Problem("no-run", f"{error}.", next_step="give the directory that swift train printed")
        ) from error
    click.echo(in_words(found) or f"{directory} is not of stage curriculum")
