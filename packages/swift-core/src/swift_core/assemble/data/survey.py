"""A look at the data for `swift plan`: rows, formats, lengths and steps, without torch and without network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from swift_core.assemble.data.encode import Tally, count_rows, encode_rows, judge_rows
from swift_core.assemble.data.load import is_judged, limit_of, percentile, stage_of
from swift_core.assemble.data.read import SourceFacts, read_data
from swift_core.assemble.data.sources import needs_network
from swift_core.assemble.data.vet_images import require_modalities
from swift_core.assemble.encoder import open_encoder
from swift_core.assemble.kinds.heads import HeadRows
from swift_core.assemble.lines import count_packs, refuse_images, refuse_model, sharing_note
from swift_core.assemble.vision.rows import has_images, lengths_with_images
from swift_core.config.data_files import references
from swift_core.resolve.model_facts import read_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from swift_core.assemble.data.encode import Stage
    from swift_core.assemble.data.rows import Item
    from swift_core.assemble.data.streaming import StreamedItems
    from swift_core.contracts.handover import RunPlan
    from swift_core.contracts.settings import TrainSettings

MOST_ROWS = 2000
"""Rows that are tokenised for a plan; of more, as many are taken at equal distances."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Lengths of training rows in tokens, before any cut."""

    num_looked_at: int
    p50: int
    p99: int
    longest: int
    num_overlong: int
    num_dropped: int
    num_truncated: int
    num_answers_cut: int
    num_trained_tokens: int
    ends_trained: bool
    """Whether rows end in a trained end-of-turn or end-of-text token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSurvey:
    """What a run will read."""

    num_rows: int
    num_held_out: int
    sources: tuple[SourceFacts, ...]
    held_out_sources: tuple[SourceFacts, ...]
    lengths: Lengths | None
    """None when the model's tokenizer is not on this machine yet."""

    num_train_rows: int
    """Training rows less those that are dropped; an estimate unless every row was looked at."""

    steps_per_epoch: int
    num_steps: int
    labels: tuple[str, ...] = ()
    """What the outputs of a classification head stand for; none for a language model."""

    notes: tuple[str, ...]
    """What a reader should know: that only some rows were looked at, why lengths are missing."""


def survey(plan: RunPlan) -> DataSurvey | None:
    """Look at the data of `plan`; None when some of it would have to be downloaded.

    Raises:
        SwiftError: What is wrong in the data, as training would say it.
    """
    named = [*references(plan.config, "data.dataset"), *references(plan.config, "data.val_dataset")]
    if any(needs_network(reference) for reference in named):
        return None
    data = read_data(plan)
    stage = stage_of(plan, data.train)
    refuse_images(plan, (item.record for item in chain(data.train, data.held_out)))
    lengths, rows, notes = _lengths(plan, stage, data.train, data.held_out)
    share_kept = 1 - lengths.num_dropped / lengths.num_looked_at if lengths else 1.0
    num_train_rows = round(count_rows(data.train, stage) * share_kept)
    num_items, line_notes = _lines(plan, rows, num_train_rows)
    per_epoch = _steps_per_epoch(num_items, plan.settings.train, plan.parallel.num_shares)
    train = plan.settings.train
    return DataSurvey(
        num_rows=len(data.train),
        num_held_out=len(data.held_out),
        sources=data.sources,
        held_out_sources=data.held_out_sources,
        lengths=lengths,
        num_train_rows=num_train_rows,
        steps_per_epoch=per_epoch,
        num_steps=train.max_steps if train.max_steps > 0 else math.ceil(train.num_train_epochs * per_epoch),
        labels=tuple(stage.kind.head_config()["id2label"].values()) if isinstance(stage.kind, HeadRows) else (),
        notes=(*data.notes, *notes, *line_notes),
    )


def model_folder(plan: RunPlan) -> Path | None:
    """Return the model's folder when it is on this machine already."""
    model = plan.settings.model
    folder: Path | None = plan.create(plan.hub).peek(model.model_id, model.revision, plan.config.path.parent)
    return folder


def _lengths(
    plan: RunPlan, stage: Stage, train: Sequence[Item] | StreamedItems, held_out: Sequence[Item]
) -> tuple[Lengths | None, list[dict[str, Any]], tuple[str, ...]]:
    """Return what is known of lengths, the rows that were looked at, and notes."""
    folder = model_folder(plan)
    if folder is None:
        return None, [], ("the model is not on this machine yet, so lengths in tokens are not known",)
    if not (folder / "tokenizer.json").is_file():
        return None, [], ("the model has no tokenizer.json, so lengths in tokens are known only when it is loaded",)
    facts = read_model(folder)
    if has_images(chain(train, held_out)) and (takes := facts.modalities):
        require_modalities(chain(train, held_out), takes, f"the model {plan.settings.model.model_id}")
        return None, [], (lengths_with_images(plan, takes),)
    encoder = open_encoder(plan.config, folder)
    tally, limit = Tally(), limit_of(plan)
    answered = [item for item in held_out if is_judged(item, stage)]
    looked_at, judged = _spread(train), _spread(answered)
    rows = encode_rows(looked_at, encoder, stage, limit, tally)
    held_out_rows = encode_rows(judged, encoder, stage, limit, Tally())
    if held_out_rows and len(judged) == len(answered):
        judge_rows(held_out_rows, judged, plan, stage, trained=False)
    if len(looked_at) < len(train):
        notes: tuple[str, ...] = (f"lengths are those of {len(looked_at):,} of {len(train):,} rows",)
    else:
        notes = judge_rows(rows, train, plan, stage, trained=True) if rows else ()
    return (
        Lengths(
            num_looked_at=tally.num_rows,
            p50=percentile(tally.lengths, 0.5),
            p99=percentile(tally.lengths, 0.99),
            longest=max(tally.lengths, default=0),
            num_overlong=tally.num_overlong,
            num_dropped=tally.num_dropped,
            num_truncated=tally.num_truncated,
            num_answers_cut=tally.num_answers_cut,
            num_trained_tokens=tally.num_trained_tokens,
            ends_trained=tally.num_ends_trained > 0,
        ),
        rows,
        notes,
    )


def _lines(plan: RunPlan, rows: Sequence[dict[str, Any]], num_rows: int) -> tuple[int, tuple[str, ...]]:
    """Return how many places of a batch an epoch fills, and what is done with rows that may stand in one line.

    Raises:
        SwiftError: The run file insists, and the model cannot.
    """
    folder = model_folder(plan)
    if folder is not None:
        refuse_model(plan, folder)
    if plan.settings.train.packing:
        if not rows:
            return num_rows, ("how many rows make a pack is known with their lengths: steps are fewer than said here",)
        num_packs, note = count_packs(plan, rows, num_rows)
        return num_packs, (note,)
    if folder is not None and rows and plan.procedure.source.declared.get("rows") == "pairs":
        return num_rows, (sharing_note(plan, rows, folder),)
    return num_rows, ()


def _spread(items: Sequence[Item] | StreamedItems) -> list[Item]:
    """Return at most `MOST_ROWS` items at equal distances."""
    if len(items) <= MOST_ROWS:
        return list(items)
    chosen = {index * len(items) // MOST_ROWS for index in range(MOST_ROWS)}
    return [item for index, item in enumerate(items) if index in chosen]


def _steps_per_epoch(num_rows: int, train: TrainSettings, num_processes: int) -> int:
    """Return optimizer steps of one pass, counted as `transformers.Trainer` does: a short last one counts."""
    batches = math.ceil(num_rows / (train.per_device_train_batch_size * num_processes))
    return max(math.ceil(batches / train.gradient_accumulation_steps), 1)
