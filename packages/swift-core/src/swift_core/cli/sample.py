"""`swift sample`: draw answers, score them, keep the good ones as training data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from swift_core.cli.trust import remote_code_option

if TYPE_CHECKING:
    from swift_core.sampling.job import Summary

SELECT = ("best_of_n", "majority", "weighted_majority")
AGGREGATIONS = ("min", "mean", "product", "last")


@click.command("sample")
@click.argument("run_file", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Where the rows go, a JSONL file.")
@click.option("--keep", type=click.Choice(["best", "pairs", "all"]), default="best", show_default=True,
              help="A row with the best answer, a pair for stage dpo, or a row for every answer.")  # fmt: skip
@click.option("--select", type=click.Choice(SELECT), default="best_of_n", show_default=True, help="Which is the best.")
@click.option("--threshold", type=float, default=None, help="Smallest reward of a kept answer.")
@click.option("--num-answers", "-n", type=click.IntRange(min=1), default=None, help="rollout.num_generations.")
@click.option("--orm", "orms", multiple=True, help="A reward, in place of those of the run file; several times.")
@click.option("--prm", "prms", multiple=True, help="A process reward, in place of the run file's; several times.")
@click.option("--prm-score", type=click.Choice(AGGREGATIONS), default=None,
              help="The score of an answer from those of its steps, for --prm.  [default: min]")  # fmt: skip
@click.option("--batch-size", type=click.IntRange(min=1), default=8, show_default=True, help="Prompts drawn together.")
@click.option("--shard", default="0/1", show_default=True, metavar="I/N", help="Take every N-th prompt, from I on.")
@click.option("--allow-code", is_flag=True, help="Run plugin files beside the run file without asking.")
@remote_code_option
def command(
    run_file: Path,
    overrides: tuple[str, ...],
    output: Path,
    keep: str,
    select: str,
    threshold: float | None,
    num_answers: int | None,
    orms: tuple[str, ...],
    prms: tuple[str, ...],
    prm_score: str | None,
    batch_size: int,
    shard: str,
    allow_code: bool,
    remote_code: tuple[str, ...],
) -> None:
    """Let the model of RUN_FILE answer the prompts of its data; write the answers that are kept.

    A job that was killed goes on where it was when the same command is given again.
    """
    from swift_core.plugins.registry import installed
    from swift_core.plugins.remote_code import parse_pins
    from swift_core.read import read_plan
    from swift_core.sampling.job import Job, run_job
    from swift_core.sampling.output import Choice

    given = list(overrides)
    given += [f"rollout.num_generations={num_answers}"] if num_answers else []
    given += [f"reward.orms=[{', '.join(orms)}]"] if orms else []
    given += [f"reward.prms=[{', '.join(_prm(name, prm_score) for name in prms)}]"] if prms else []
    if prm_score and not prms:
        raise click.UsageError("--prm-score would do nothing without --prm: the run file's have reward.prms.aggregate")
    registry = installed(allow_code=allow_code, remote_code=parse_pins(remote_code))
    plan = read_plan(run_file, given, registry, sampling=True)
    _check(keep, select, threshold, has_rewards=bool(plan.rewards))
    choice = Choice(keep=keep, select=select, threshold=threshold)  # type: ignore[arg-type]
    job = Job(output=output, choice=choice, batch_size=batch_size, shard=_shard(shard))
    _print(run_job(plan, job, _Progress()), output, keep)


def _prm(name: str, score: str | None) -> str:
    return f"{{name: {name!r}, aggregate: {score or 'min'}}}"


def _check(keep: str, select: str, threshold: float | None, *, has_rewards: bool) -> None:
    from swift_core.errors import Problem, SwiftError

    wants = {"--keep pairs": keep == "pairs", "--threshold": threshold is not None}
    wants |= {f"--select {select}": keep != "all" and select != "majority"}
    lacking = [option for option, is_asked in wants.items() if is_asked and not has_rewards]
    if lacking:
        message = f"{lacking[0]} needs rewards, and there is none."
        raise SwiftError(Problem("missing-key", message, None, "give --orm or --prm NAME, or reward: {orms: [...]}"))
    if keep == "all" and select != "best_of_n":
        raise click.UsageError(f"--select {select} would do nothing: --keep all keeps every answer")


def _shard(text: str) -> tuple[int, int]:
    first, _, count = text.partition("/")
    if not (first.isdecimal() and count.isdecimal()) or not int(first) < int(count):
        raise click.UsageError(f"--shard must be I/N with I below N, such as 0/4, got {text!r}")
    return int(first), int(count)


class _Progress:
    """Prints a line now and then, with the time that is left."""

    def __init__(self) -> None:
        self._start, self._told = time.monotonic(), 0.0
        self._first: int | None = None

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        self._first = done if self._first is None else self._first
        if done < total and now - self._told < 5:
            return
        self._told = now
        left = (now - self._start) / done * (total - done)
        click.echo(f"{done}/{total} prompts, {left:.0f} s left", err=True)


def _print(summary: Summary, output: Path, keep: str) -> None:
    figures = " · ".join(f"{name} {value:.3f}" for name, value in summary.figures.items())
    rate = summary.num_tokens / summary.seconds if summary.seconds else 0.0
    noun = "pairs" if keep == "pairs" else "rows"
    click.echo(f"{summary.num_answers:,} answers to {summary.num_prompts:,} prompts in {summary.seconds:.0f} s, "
               f"{rate:,.0f} tokens/s")  # fmt: skip
    if figures:
        click.echo(f"mean reward: {figures}")
    click.echo(f"{summary.num_kept:,} {noun} in {output}")
