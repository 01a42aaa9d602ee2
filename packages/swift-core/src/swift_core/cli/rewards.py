"""`swift rewards`: whether rewards can read the data they will judge by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from swift_core.assemble.truths import Truth

_SHOWN = 60
"""Characters of a ground truth that a line shows."""


@click.group("rewards")
def command() -> None:
    """Check rewards against data."""


@command.command("lint")
@click.argument("run_file", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--refused-only", is_flag=True, help="Leave out the rows whose ground truth can be read.")
@click.option("--allow-code", is_flag=True, help="Run plugin files beside the run file without asking.")
def lint(run_file: Path, overrides: tuple[str, ...], refused_only: bool, allow_code: bool) -> None:
    """Print how each ground truth in the data of RUN_FILE is read, and what it scores against itself.

    Exit code 2 when a reward refuses one. Training and held-out rows are read; no model is loaded.
    """
    from swift_core.assemble.truths import read_truths, reading_rewards, refusals
    from swift_core.plugins.registry import installed
    from swift_core.read import read_plan

    plan = read_plan(run_file, overrides, installed(allow_code=allow_code), planning=True, sampling=True)
    rewards, others = reading_rewards(plan)
    for name in others:
        click.echo(f"{name}: reads no ground truth")
    truths = list(read_truths(plan, rewards))
    for truth in truths:
        if truth.refused or not refused_only:
            click.echo(_line(truth, several=len(rewards) > 1))
    click.echo(_summary(truths))
    refusals(truths)


def _line(truth: Truth, *, several: bool) -> str:
    start = f"{truth.item.record.where}  {f'{truth.reward}  ' if several else ''}{_short(truth.written)}"
    if truth.refused:
        return f"{start}  REFUSED: {truth.refused}"
    read = f"  ->  {_short(truth.read)}" if truth.read is not None else ""
    return f"{start}{read}  scores {'nothing' if truth.score is None else f'{truth.score:g}'}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"...{line[-_SHOWN:]}"


def _summary(truths: list[Truth]) -> str:
    refused = sum(bool(truth.refused) for truth in truths)
    below = sum(not truth.refused and truth.score != 1.0 for truth in truths)
    return f"{len(truths):,} ground truths: {refused:,} refused, {below:,} do not score 1 against themselves"
