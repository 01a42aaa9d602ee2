"""`swift train`: train what a run file describes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from swift_core.cli.trust import remote_code_option
from swift_core.errors import InterruptedRunError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping


@click.command("train")
@click.argument("run_file", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--resume",
    default="never",
    metavar="auto|never|PATH",
    help="Go on with a run directory or checkpoint; auto finds the run, or begins one. [default: never]",
)
@click.option("--resume-changed", is_flag=True, help="Go on although run file, plugins or data have changed since.")
@click.option("--allow-code", is_flag=True, help="Run plugin files beside the run file without asking.")
@remote_code_option
@click.option(
    "--nproc", default="", metavar="N|auto", help="Start N processes on this machine; auto: one for each GPU."
)
@click.option(
    "--max-restarts",
    default=0,
    type=click.IntRange(min=0),
    help="With --nproc: start anew from the last checkpoint, so often, when a process dies.",
)
@click.option(
    "--nnodes", default="", metavar="N|MIN:MAX", help="With --nproc: machines, each with N processes. [device.nodes]"
)
@click.option("--rdzv-endpoint", default="", metavar="HOST:PORT", help="With --nnodes: where the machines meet.")
@click.option("--rdzv-id", default="swift", help="With --nnodes: name of the meeting, where several are held.")
@click.option("--rdzv-conf", default="", metavar="KEY=VALUE,...", help="With --nnodes: settings of torch's rendezvous.")
@click.option("--local-addr", default="", metavar="ADDRESS", help="With --nnodes: this machine's, as others reach it.")
@click.option("--share-out", is_flag=True, hidden=True)
def command(
    run_file: Path,
    overrides: tuple[str, ...],
    resume: str,
    resume_changed: bool,
    allow_code: bool,
    remote_code: tuple[str, ...],
    nproc: str,
    max_restarts: int,
    nnodes: str,
    rdzv_endpoint: str,
    rdzv_id: str,
    rdzv_conf: str,
    local_addr: str,
    share_out: bool,
) -> int:
    """Train what RUN_FILE describes; KEY=VALUE changes it, as in train.learning_rate=1e-4."""
    from swift_core.cli.launched import end_with_launcher
    from swift_core.plugins.remote_code import FLAG, parse_pins

    end_with_launcher()
    pins = parse_pins(remote_code)
    if nproc:
        flags = [*(["--resume-changed"] if resume_changed else []), *(["--allow-code"] if allow_code else [])]
        flags += [part for text in remote_code for part in (FLAG, text)]
        meeting = {
            "rdzv_endpoint": rdzv_endpoint,
            "rdzv_id": rdzv_id,
            "rdzv_conf": rdzv_conf,
            "local_addr": local_addr,
        }
        return _several(run_file, overrides, nproc, resume, flags, max_restarts, nnodes, meeting, pins)
    if share_out:
        from swift_core.cli import launch

        overrides = launch.share_out(run_file, overrides)
    from swift_core.cli.interfaces import stay_on_this_machine
    from swift_core.run import run

    is_first = os.environ.get("RANK", "0") == "0"
    if (note := stay_on_this_machine()) and is_first:
        click.echo(note, err=True)
    if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0":
        resume = "auto"  # the launcher started all processes again, because one of them died
    try:
        directory = run(
            run_file,
            overrides,
            resume=Path(resume) if resume not in ("auto", "never") else cast("Literal['auto', 'never']", resume),
            resume_changed=resume_changed,
            allow_code=allow_code,
            remote_code=pins,
            tell=lambda line: click.echo(shown(line), err=True) if is_first else None,
        )
    except InterruptedRunError:  # all processes end at the same step
        _leave()
        raise
    _leave()
    if is_first:
        click.echo(f"next: swift report {directory}{_infer(directory)}")
    return 0


def _infer(directory: Path) -> str:
    """Return how to ask the model of a run; nothing for one that answers nothing."""
    import json

    from swift_core.contracts.procedure import HEAD_FILE

    for file in directory.glob(f"*/{HEAD_FILE}"):
        if json.loads(file.read_text(encoding="utf-8")).get("model_head") == "dual_encoder":
            return ""
    return f" · swift infer {directory} --prompt ..."


def _leave() -> None:
    """End the group of processes before Python ends its threads, which some engines do not survive."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def _several(
    run_file: Path,
    overrides: tuple[str, ...],
    nproc: str,
    resume: str,
    flags: list[str],
    max_restarts: int,
    nnodes: str,
    meets: dict[str, str],
    pins: Mapping[str, str],
) -> int:
    """Start processes that train together, once the run file is right: a mistake is told before, and once."""
    from swift_core.cli.launch import count, instead, launch, meeting_of, shared_out
    from swift_core.config.load import BadRunFileError, load
    from swift_core.plugins.registry import installed
    from swift_core.read import read_plan

    registry = installed(allow_code="--allow-code" in flags, remote_code=pins)
    try:
        config = load(run_file, overrides)
    except BadRunFileError:
        read_plan(run_file, overrides, registry, planning=True)  # tells of what else is wrong, too
        raise
    meeting = meeting_of(nnodes, config, **meets)
    number, most = count(nproc, config, meeting.max_nodes), meeting.max_nodes
    of_nodes = [f"device.nodes={most}"] if most > 1 else []
    overrides = instead(overrides, f"device.num_processes={number * most}", *of_nodes)
    plan = read_plan(run_file, overrides, registry, planning=True)
    for nodes in range(meeting.min_nodes, most):
        shared_out(plan.config, number * nodes, nodes)  # refuses what cannot be shared evenly
    if meeting.min_nodes < most:
        flags = [*flags, "--share-out"]
    if meeting.of_several and resume == "never":
        click.echo("resume: auto, since a machine that returns goes on with the run of the others", err=True)
        resume = "auto"

    from swift_core.assemble.apart import ask_about_files

    ask_about_files(plan)
    arguments = ["train", str(run_file), *overrides, "--resume", resume, *flags]
    return launch(plan, number, arguments, max_restarts=max_restarts, meeting=meeting)
