"""`swift infer`: let a trained model answer."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("infer")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--prompt", "prompts", multiple=True, required=True, help="What to answer; may be given several times.")
@click.option("--system", default=None, help="System message.  [default: data.system of the run]")
@click.option("--raw", is_flag=True, help="Continue the prompt as plain text, without the chat template.")
@click.option("--compare", type=click.Choice(["base"]), help="Show the untrained model's answer beside it.")
@click.option("--max-new-tokens", type=click.IntRange(min=1), default=128, show_default=True, help="Longest answer.")
@click.option("--temperature", type=click.FloatRange(min=0), default=0.0, show_default=True, help="0 draws nothing.")
@click.option("--seed", type=click.IntRange(min=0), default=42, show_default=True, help="Of what is drawn.")
def command(
    run: Path,
    prompts: tuple[str, ...],
    system: str | None,
    raw: bool,
    compare: str | None,
    max_new_tokens: int,
    temperature: float,
    seed: int,
) -> None:
    """Answer prompts with the model that RUN, a run directory, trained."""
    from swift_core.assemble.answering import answer

    answers = answer(
        run,
        prompts,
        system=system,
        raw=raw,
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
