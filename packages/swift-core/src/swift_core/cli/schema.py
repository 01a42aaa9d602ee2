"""`swift schema`: the JSON schema of run files, with the options of the plugins that are installed."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("schema")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it to FILE.")
def command(out: Path | None) -> None:
    r"""Print the JSON schema (draft 7) of run files, with the options of installed plugins.

    Editors with the YAML language server complete and check a run file whose first line names the schema:

    \b
      swift schema --out swift.schema.json
      # yaml-language-server: $schema=swift.schema.json
    """
    from swift_core.errors import Problem, SwiftError
    from swift_core.plugins.registry import installed
    from swift_core.resolve.schema import run_schema

    text = json.dumps(run_schema(installed()), indent=2, ensure_ascii=False)
    if out is None:
        click.echo(text)
        return
    try:
        out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        message = f"cannot write {out}: {error.strerror}"
        raise SwiftError(Problem("unwritable", message, next_step="name a file in a folder that is there")) from None
    click.echo(f"wrote {out}; first line of a run file: # yaml-language-server: $schema={out}")
