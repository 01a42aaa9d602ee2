"""`swift train`: train what a run file describes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, cast

import click

from swift_core.errors import InterruptedRunError


@click.command("train")
@click.argument("run_file", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--resume",
    default="never",
    metavar="auto|never|PATH",
    help="Go on with a run directory or checkpoint; auto finds the run, or begins one. [default: never]",
)
@click.option("--resume-changed", is_flag=True, help="Go on although the run file or plugins have changed since.")
@click.option("--allow-code", is_flag=True, help="Run plugin files beside the run file without asking.")
@click.option(
    "--nproc", default="", metavar="N|auto", help="Start N processes on this machine; auto: one for each GPU."
)
@click.option(
    "--max-restarts",
    default=0,
    type=click.IntRange(min=0),
    help="With --nproc: start anew from the last checkpoint, so often, when a process dies.",
)
def command(
    run_file: Path,
    overrides: tuple[str, ...],
    resume: str,
    resume_changed: bool,
    allow_code: bool,
    nproc: str,
    max_restarts: int,
) -> int:
    """Train what RUN_FILE describes; KEY=VALUE changes it, as in train.learning_rate=1e-4."""
    if nproc:
        flags = [*(["--resume-changed"] if resume_changed else []), *(["--allow-code"] if allow_code else [])]
        return _several(run_file, overrides, nproc, ["--resume", resume, *flags], max_restarts)
    from swift_core.run import run

    is_first = os.environ.get("RANK", "0") == "0"
    if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0":
        resume = "auto"  # the launcher started all processes again, because one of them died
    try:
        directory = run(
            run_file,
            overrides,
            resume=Path(resume) if resume not in ("auto", "never") else cast("Literal['auto', 'never']", resume),
            resume_changed=resume_changed,
            allow_code=allow_code,
            tell=lambda line: click.echo(line, err=True) if is_first else None,
        )
    except InterruptedRunError:  # all processes end at the same step
        _leave()
        raise
    _leave()
    if is_first:
        click.echo(f"next: swift report {directory} · swift infer {directory} --prompt ...")
    return 0


def _leave() -> None:
    """End the group of processes before Python ends its threads, which some engines do not survive."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def _several(run_file: Path, overrides: tuple[str, ...], nproc: str, flags: list[str], max_restarts: int) -> int:
    """Start processes that train together, once the run file is right: a mistake is told before, and once."""
    from swift_core.cli.launch import count, launch
    from swift_core.config.load import load
    from swift_core.plugins.registry import installed
    from swift_core.resolve.plan import resolve

    registry = installed(allow_code="--allow-code" in flags)
    number = count(nproc, resolve(load(run_file, overrides), registry, planning=True))
    overrides = (*overrides, f"device.num_processes={number}")
    plan = resolve(load(run_file, overrides), registry, planning=True)

    from swift_core.assemble.apart import ask_about_files

    ask_about_files(plan)
    return launch(number, ["train", str(run_file), *overrides, *flags], max_restarts=max_restarts)
