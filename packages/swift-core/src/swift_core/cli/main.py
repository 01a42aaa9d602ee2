"""The `swift` command: a table of sub-commands, each imported when it is used.

Errors that users are meant to read become their lines on stderr and exit code 2, here and nowhere else. Anything else
is a bug and keeps its traceback.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

import swift_core
from swift_core.errors import OutOfMemoryError, Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from swift_core.contracts.plugin import PluginSpec

COMMANDS: dict[str, tuple[str, str]] = {
    "plan": ("swift_core.cli.plan:command", "Show what a run file will do, with the origin of each value."),
    "train": ("swift_core.cli.train:command", "Train what a run file describes."),
    "preview": ("swift_core.cli.preview:command", "Show tokenised rows with the trained tokens marked."),
    "infer": ("swift_core.cli.infer:command", "Answer prompts with a trained model."),
    "export": ("swift_core.cli.export:command", "Write a trained model in another form, such as one whole folder."),
    "sample": ("swift_core.cli.sample:command", "Draw answers, score them, and keep them as training data."),
    "rewards": ("swift_core.cli.rewards:command", "Check the ground truths of a run's data."),
    "cache": ("swift_core.cli.cache:command", "List what is kept on disk to be read again, and remove it."),
    "report": ("swift_core.cli.report:command", "Write the report of a run again."),
    "runs": ("swift_core.cli.runs:command", "List runs, and check their checkpoints."),
    "schema": ("swift_core.cli.schema:command", "Print the JSON schema of run files, for editors."),
    "demo": ("swift_core.cli.demo:command", "Train a small model and show what it learned."),
    "plugins": ("swift_core.cli.plugins:command", "List installed plugins and what they take."),
    "migrate": ("swift_core.cli.migrate:command", "Turn arguments of ms-swift into a run file."),
    "doctor": ("swift_core.cli.doctor:command", "Look for what is wrong with this machine and what is installed."),
    "trust": ("swift_core.cli.trust:command", "Trust a folder: its files may run as plugins."),
}
"""Name -> (where it is, one line of help)."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used. Other wheels add commands (`swift.commands`) to it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return core's commands in their order, then those of other wheels."""
        return [*COMMANDS, *sorted(_other_commands())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; core's own names win."""
        if cmd_name in COMMANDS:
            module, _, attribute = COMMANDS[cmd_name][0].partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        return _load_other(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; one that does not exist is an error with the nearest name."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            from swift_core.plugins.policy import did_you_mean

            hint = did_you_mean(name, self.list_commands(ctx))
            raise click.UsageError(f"there is no command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their help from the table: importing them all would take seconds."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])
        others = _other_commands()
        if others:
            with formatter.section("Commands of other wheels"):
                formatter.write_dl([(name, f"From {wheels}.") for name, wheels in sorted(others.items())])


def _other_commands() -> dict[str, str]:
    """Return the commands that other wheels bring, each with its wheel; none is imported."""
    from swift_core.plugins.metadata import distributions_on, entries, entry_points_text

    others: dict[str, set[str]] = {}
    for distribution in distributions_on():
        try:
            text = entry_points_text(distribution)
        except (OSError, UnicodeDecodeError):  # `swift doctor` says so
            continue
        for group, entry, _ in entries(text) if "swift.commands" in text else ():
            name = entry.replace("_", "-")
            if group == "swift.commands" and name not in COMMANDS:
                others.setdefault(name, set()).add(distribution.name)
    return {name: " and ".join(sorted(wheels)) for name, wheels in others.items()}


def _load_other(name: str) -> click.Command | None:
    if name not in _other_commands():
        return None
    from pathlib import Path

    from swift_core.plugins.loading import describe
    from swift_core.plugins.registry import PluginError, installed

    registry = installed()
    spec = registry.resolve("command", name.replace("-", "_"), Path())
    plugin = registry.load(spec)
    if not isinstance(plugin, click.Command):
        message = f"{describe(spec)} is {type(plugin).__name__}, not a click command."
        raise PluginError("broken-plugin", message, f"pip install --upgrade {spec.distribution}, or tell its author")
    plugin.invoke = _held(spec, plugin.invoke)  # type: ignore[method-assign,assignment]
    return plugin


def _held(spec: PluginSpec, invoke: Callable[[click.Context], Any]) -> Callable[[click.Context], Any]:
    """Return how a command of another wheel is run: what it raises is told as its failure."""

    def run(context: click.Context) -> Any:
        try:
            return invoke(context)
        except (SwiftError, click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:  # whatever a stranger's code raises
            message = f"{spec.in_full} raised {type(error).__name__}: {error}"
            step = "tell its author; SWIFT_TRACEBACK=1 shows where"
            raise SwiftError(Problem("command-failed", message, next_step=step)) from error

    return run


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
)
@click.version_option(swift_core.__version__, prog_name="swift-core", message="%(prog)s %(version)s")
@click.pass_context
def swift(context: click.Context) -> None:
    """Fine-tune and align language models; every part of a run is a plugin.

    A run is a YAML file. Begin with: swift demo
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 2 for a mistake of the user, 130 when interrupted."""
    try:
        code = swift.main(arguments, prog_name="swift", standalone_mode=False, terminal_width=_width())
    except click.UsageError as error:
        _fail(_usage_problem(error).render(), error.exit_code)
    except click.ClickException as error:
        _fail(Problem("failed", error.format_message()).render(), error.exit_code)
    except SwiftError as error:
        _leave_to_the_first(error, error.exit_code)
        _show_cause(error)
        _fail(str(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except Exception as error:
        _leave_to_the_first(error, 1)
        _tell_of_loss(error)
        _tell_of_memory(error)
        raise
    sys.exit(code if isinstance(code, int) else 0)


def _leave_to_the_first(error: Exception, code: int) -> None:
    """End without a word in a process whose neighbour has failed before it; tell which one speaks."""
    from swift_core.cli.speaker import is_one_of_several, rank_of, speaks

    if not speaks(error):
        sys.exit(code)
    if is_one_of_several():
        click.echo(f"{rank_of()}:", err=True)


def _tell_of_loss(error: Exception) -> None:
    """End with a line, and no traceback, in a process that only lost another one."""
    from swift_core.assemble.broken_part import is_lost_process

    if is_lost_process(error):
        message = f"another process of this run is gone ({str(error).splitlines()[0]})."
        next_step = "look at what that process, or the launcher, printed"
        _fail(Problem("lost-process", message, next_step=next_step).render(), 1)


def _tell_of_memory(error: Exception) -> None:
    """End with a line, and no traceback, where memory ran out in something else than a run."""
    from swift_core.assemble.broken_part import is_out_of_memory

    if is_out_of_memory(error):
        message = f"memory ran out: {str(error).splitlines()[0] if str(error) else 'no more could be had'}."
        next_step = "give it more memory, or take a smaller model, fewer rows or shorter ones"
        _fail(Problem("out-of-memory", message, next_step=next_step).render(), OutOfMemoryError.exit_code)


def _width() -> int:
    """Return how wide help may be; click would import shutil and three compressors to find out."""
    try:
        columns = int(os.environ.get("COLUMNS", "0")) or os.get_terminal_size().columns
    except (ValueError, OSError):
        columns = 80
    return max(min(columns, 120) - 2, 50)


def _usage_problem(error: click.UsageError) -> Problem:
    message = error.format_message()
    path = error.ctx.command_path if error.ctx else "swift"
    return Problem("usage", message[:1].lower() + message[1:], next_step=f"{path} --help")


def _show_cause(error: SwiftError) -> None:
    """Print the traceback of the exception behind an error when SWIFT_TRACEBACK is set: for authors of plugins."""
    if error.__cause__ is not None and os.environ.get("SWIFT_TRACEBACK"):
        import traceback

        click.echo("".join(traceback.format_exception(error.__cause__)), err=True)


def _fail(text: str, code: int) -> NoReturn:
    click.echo(text, err=True)
    sys.exit(code)
