"""`swift migrate`: from arguments of ms-swift, LLaMA-Factory or a TRL script to a run file."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("migrate", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, metavar="FILE | -- ARGUMENTS")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the run file here; else print it.")
@click.option(
    "--command", "command_", metavar="WORD", default="", help="pt, sft or rlhf, where the arguments do not say."
)
@click.option(
    "--from",
    "program",
    type=click.Choice(["ms-swift", "llama-factory", "trl"]),
    help="Whose words they are; left out, the arguments say it.",
)
@click.pass_context
def command(
    context: click.Context, words: tuple[str, ...], output: Path | None, command_: str, program: str | None
) -> None:
    """Turn a YAML file, an args.json or an argument list of another program into a run file.

    What could not be carried over is listed with its reason. Exit code: 0 when the run is the same, 1 when it lost
    something.
    """
    from swift_core.errors import Problem, SwiftError
    from swift_core.ms_swift.migrate.convert import migrate
    from swift_core.ms_swift.migrate.given import of_file, of_words
    from swift_core.ms_swift.migrate.write import written

    if not words:
        raise SwiftError(
            Problem(
                "usage", "there is nothing to migrate", next_step="swift migrate FILE, or swift migrate -- --model ..."
            )
        )
    is_file = len(words) == 1 and Path(words[0]).suffix in (".yaml", ".yml", ".json")
    said, arguments = ("", of_file(Path(words[0]))) if is_file else of_words(words)
    migrated = migrate(arguments, command_ or said, program or "")
    text = written(migrated)
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(output, text)
    for one in migrated.not_carried:
        click.echo(f"{'not carried over' if one.loses else 'without effect here'}: {one}", err=True)
    if output is not None:
        click.echo(f"next: swift plan {output}", err=True)
    if migrated.lost:
        context.exit(1)


def _write(output: Path, text: str) -> None:
    from swift_core.errors import Problem, SwiftError

    if output.exists():
        raise SwiftError(Problem("output-exists", f"{output} is there already.", next_step="name another file"))
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SwiftError(Problem("output-exists", f"{output} cannot be written: {error.strerror}.")) from error
