"""`swift infer`: let a trained model answer, or judge a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swift_core.cli.trust import remote_code_option

if TYPE_CHECKING:
    from swift_core.assemble.judging import Verdict

_GENERATING = ("images", "sounds", "compare", "max_new_tokens", "temperature", "seed")
"""Options of models that generate."""


@click.command("infer")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--prompt", "prompts", multiple=True, required=True, help="What to answer; may be given several times.")
@click.option("--answer", "replies", multiple=True, help="What to judge, one for each prompt: of reward models.")
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="An image that every prompt shows, where <image> stands in it or before it; repeat it for several.",
)
@click.option(
    "--audio",
    "sounds",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A WAV file that every prompt plays, where <audio> stands in it or before it; repeat it for several.",
)
@click.option("--system", default=None, help="System message.  [default: data.system of the run]")
@click.option("--raw", is_flag=True, help="Take the prompt as plain text, without the chat template.")
@click.option("--compare", type=click.Choice(["base"]), help="Show the untrained model's answer beside it.")
@click.option("--max-new-tokens", type=click.IntRange(min=1), default=128, show_default=True, help="Longest answer.")
@click.option("--temperature", type=click.FloatRange(min=0), default=0.0, show_default=True, help="0 draws nothing.")
@click.option("--seed", type=click.IntRange(min=0), default=42, show_default=True, help="Of what is drawn.")
@remote_code_option
@click.pass_context
def command(
    context: click.Context,
    /,
    run: Path,
    prompts: tuple[str, ...],
    replies: tuple[str, ...],
    system: str | None,
    raw: bool,
    remote_code: tuple[str, ...],
    **generating: Any,
) -> None:
    """Answer prompts with the model that RUN, a run directory, trained; a classifier or reward model judges them."""
    from swift_core.assemble.head import read_head
    from swift_core.assemble.trained import open_run
    from swift_core.plugins.remote_code import parse_pins

    opened = open_run(run, parse_pins(remote_code))
    head = read_head(opened.artifact)
    if head.name != "causal_lm":
        from swift_core.assemble.judging import judge

        _refuse(context, _GENERATING, "the model of this run judges texts and generates none")
        for index, verdict in enumerate(judge(opened, head, prompts, replies, system=system, raw=raw)):
            _show_verdict(verdict, first=index == 0, alone=len(prompts) == 1)
        return
    _refuse(context, ("replies",), "the model of this run generates answers and judges none")
    _answer(run, prompts, system=system, raw=raw, **generating)


def _refuse(context: click.Context, names: tuple[str, ...], reason: str) -> None:
    """Raise UsageError for options that were given and would do nothing."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} would do nothing: {reason}")


def _answer(
    run: Path,
    prompts: tuple[str, ...],
    *,
    system: str | None,
    raw: bool,
    images: tuple[Path, ...],
    sounds: tuple[Path, ...],
    compare: str | None,
    max_new_tokens: int,
    temperature: float,
    seed: int,
) -> None:
    from swift_core.assemble.answering import answer

    answers = answer(
        run,
        prompts,
        system=system,
        raw=raw,
        images=images,
        sounds=sounds,
        with_base=compare is not None,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
    )
    for index, (prompt, texts) in enumerate(zip(prompts, answers, strict=True)):
        _show(prompt, texts, first=index == 0, alone=len(prompts) == 1)


def _show(prompt: str, answers: dict[str, str], *, first: bool, alone: bool) -> None:
    """Print the answer; with several prompts or models, each line says whose it is."""
    if alone and len(answers) == 1:
        click.echo(next(iter(answers.values())))
        return
    if not first:
        click.echo()
    for name, text in {"prompt": prompt, **answers}.items():
        click.echo(f"{click.style(f'{name:<8}', bold=True)} {text}")


def _show_verdict(verdict: Verdict, *, first: bool, alone: bool) -> None:
    """Print classes with their probabilities, a number, or each step with the probability that it is right."""
    if not alone:
        click.echo(f"{'' if first else chr(10)}{click.style('prompt  ', bold=True)} {verdict.prompt}")
    for label, share in verdict.labels.items():
        click.echo(f"{share:.4f}  {label}")
    for step, share in verdict.steps:
        click.echo(f"{share:.4f}  {step}")
    if verdict.value is not None:
        click.echo(f"{verdict.value:.4f}")
