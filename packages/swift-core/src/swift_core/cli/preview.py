"""`swift preview`: rows as the model will see them, with the trained tokens marked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from swift_core.assemble.data.encode import Stage, Tally
    from swift_core.assemble.data.read import SourceFacts
    from swift_core.assemble.data.rows import Item
    from swift_core.contracts.data import TextEncoder
    from swift_core.contracts.handover import RunPlan


@click.command("preview")
@click.argument("run_file", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--rows", default=3, show_default=True, type=click.IntRange(min=1), help="Show this many rows.")
@click.option("--allow-code", is_flag=True, help="Run plugin files beside the run file without asking.")
def command(run_file: Path, overrides: tuple[str, ...], rows: int, allow_code: bool) -> None:
    """Show the first training rows of RUN_FILE as tokens; what is trained is green, or in [ ] without colours."""
    from swift_core.assemble.data.load import stage_of
    from swift_core.assemble.data.read import read_data
    from swift_core.plugins.registry import installed
    from swift_core.read import read_plan

    plan = read_plan(run_file, overrides, installed(allow_code=allow_code), planning=True)
    data = read_data(plan)
    items = data.first(rows)
    encoder = _encoder(plan, with_images=any(item.record.media for item in items))
    stage = stage_of(plan, data.train)
    shown = [_encoded(plan, encoder, stage, item) for item in items]
    for source in data.sources:
        click.echo(_source_line(source))
    click.echo(_template_line(plan, encoder, items))
    for note in data.notes:
        click.echo(note)
    for item, (encoded, tally) in zip(items, shown, strict=True):
        _show(encoder, item, encoded, tally)


def _encoder(plan: RunPlan, *, with_images: bool) -> TextEncoder:
    """Open the model's tokenizer, with its processor for images; a model that is not on this machine is fetched."""
    from swift_core.assemble.data.survey import model_folder
    from swift_core.assemble.encoder import open_encoder
    from swift_core.errors import Problem, SwiftError

    model = plan.settings.model
    folder = model_folder(plan)
    if folder is None:
        try:
            folder = plan.create(plan.hub).fetch(model.model_id, model.revision, plan.config.path.parent)
        except ValueError as error:
            raise SwiftError(Problem("model-unavailable", f"{error}.", plan.config.place("model.model_id"))) from error
    if not with_images:
        return open_encoder(plan.config, folder)
    from swift_core.assemble.model import encoder_of, tokenizer_for  # the processor alone knows what an image becomes

    return encoder_of(plan, tokenizer_for(plan, folder), folder)


def _source_line(source: SourceFacts) -> str:
    count = "1 row" if source.rows == 1 else f"{source.rows:,} rows"
    return f"{source.reference}: {count}, format {source.format}, because {source.because}"


def _template_line(plan: RunPlan, encoder: TextEncoder, items: Sequence[Item]) -> str:
    """Say which template is used, and that it was checked; plain text has none."""
    if plan.procedure.source.declared.get("model_head") == "dual_encoder":
        return "no chat template: a text stands as the model's tokenizer closes it, beside its image"
    if not any(isinstance(item.record.prompt, list) for item in items):
        return "template: none, the rows are plain text"
    name = plan.settings.model.chat_template or "the tokenizer's own"
    marks = encoder.generation_marks([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
    return f"template: {name}, prefix-stable yes, generation blocks {'agree' if marks else 'none'}"


def _encoded(plan: RunPlan, encoder: TextEncoder, stage: Stage, item: Item) -> tuple[list[dict[str, Any]], Tally]:
    """Return the row as it would be trained on, if it is, and what became of it."""
    from swift_core.assemble.data.encode import Tally, encode_rows
    from swift_core.assemble.data.load import limit_of

    tally = Tally()
    return encode_rows([item], encoder, stage, limit_of(plan), tally), tally


def _show(encoder: TextEncoder, item: Item, encoded: list[dict[str, Any]], tally: Tally) -> None:
    from swift_core.artifacts.mask_preview import mask_preview

    click.echo()
    if not encoded:
        longest = tally.longest[0]
        click.echo(f"{item.row.where} · {longest:,} tokens · dropped: longer than data.max_length")
        return
    for entry in mask_preview(encoded, encoder, len(encoded)):
        click.echo(" · ".join(_facts(entry, item, encoder, tally)))
        _print_pieces(entry)


def _facts(entry: Mapping[str, Any], item: Item, encoder: TextEncoder, tally: Tally) -> Iterator[str]:
    num_tokens, num_trained = entry["num_tokens"], entry["num_trained"]
    side = entry["title"].partition(", ")[2]
    yield f"{item.row.where}, {side}" if side else item.row.where
    yield f"{num_tokens:,} tokens"
    yield f"{num_trained:,} trained ({num_trained / num_tokens:.0%})"
    ends = ", ".join(encoder.decode([token]) for token in sorted(tally.ends))
    yield f"end trained yes ({ends})" if tally.num_ends_trained else "end trained no"
    if tally.num_truncated:
        yield f"truncated from {tally.longest[0]:,}" + (", the answer is cut" if tally.num_answers_cut else "")


def _print_pieces(entry: Mapping[str, Any]) -> None:
    """Print a row; off a terminal the trained parts stand in brackets."""
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    line = Text()
    for piece in entry["pieces"]:
        if not piece["trained"]:
            line.append(piece["text"], style="dim")
        else:
            line.append(piece["text"] if console.is_terminal else f"[{piece['text']}]", style="bold green")
            if piece["weight"] != 1:
                line.append(f"x{piece['weight']:g}", style="cyan")
    if entry["num_hidden"]:
        line.append(f" ... {entry['num_hidden']:,} more tokens", style="dim")
    console.print(line)
