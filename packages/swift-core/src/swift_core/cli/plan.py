"""`swift plan`: what a run file means, before anything is built."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("plan")
@click.argument("run_file", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--allow-code", is_flag=True, help="Read plugin files beside the run file without asking.")
def command(run_file: Path, overrides: tuple[str, ...], as_json: bool, allow_code: bool) -> None:
    """Show what RUN_FILE means: each value with its origin, each part with its wheel, sizes, steps and memory.

    KEY=VALUE changes a value, as in train.learning_rate=1e-4. Nothing is built, downloaded or written.
    """
    from swift_core.contracts.plan_json import plan_dict
    from swift_core.plugins.registry import installed
    from swift_core.read import read_plan

    plan = read_plan(run_file, overrides, installed(allow_code=allow_code), planning=True)

    from swift_core.assemble.hooks import build_hooks
    from swift_core.cli.plan_facts import facts_dict, gather, summary  # not before the run file is right
    from swift_core.resolve.explain import explain

    build_hooks(plan)  # they may find the run file wrong
    facts = gather(plan)
    if as_json:
        click.echo(json.dumps({**plan_dict(plan), "facts": facts_dict(facts)}, indent=2, ensure_ascii=False))
    else:
        click.echo(explain(plan, summary(plan, facts)))
