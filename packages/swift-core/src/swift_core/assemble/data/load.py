"""The data of a run, from the names in the run file to rows of tokens."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from swift_core.assemble.data.encode import Limit, Stage, Tally, encode_rows, judge_rows, stream_rows
from swift_core.assemble.data.read import RunData, read_data
from swift_core.assemble.data.row_cache import NotKeptError, can_keep, keep, key_of
from swift_core.assemble.data.vet_images import require_modalities, vetted
from swift_core.assemble.kinds import row_kind
from swift_core.assemble.kinds.heads import HeadRows
from swift_core.assemble.kinds.prompts import PromptRows
from swift_core.assemble.lines import refuse_images
from swift_core.assemble.needs import require_columns
from swift_core.assemble.scales import LossScales
from swift_core.assemble.vision.batches import collator_of
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor

    from swift_core.assemble.data.rows import Item
    from swift_core.assemble.data.streaming import StreamedItems
    from swift_core.contracts.data import Record, TextEncoder
    from swift_core.contracts.handover import RunPlan


@dataclass(frozen=True, slots=True)
class LoadedData:
    """Rows ready to be collated."""

    train: Sequence[Any]
    """Rows of the procedure's kind in the order of the files, or packs of them."""

    eval: list[dict[str, Any]] | None
    """Held-out rows of the same kind; None when there are none."""

    eval_records: list[Record]
    """All held-out rows before encoding, those with a prompt alone among them."""

    collator: Callable[[Sequence[Any]], dict[str, Tensor]]
    """Makes a batch of rows."""

    head_config: dict[str, Any]
    """What the model's configuration says of its classification head; empty for a language model."""

    facts: dict[str, Any]
    """Counts by name; what is told about held-out rows starts with `eval_`."""


def load_data(plan: RunPlan, encoder: TextEncoder, columns: Sequence[str] = ()) -> LoadedData:
    """Read and encode the data of `plan`.

    Args:
        plan: What data, and what for.
        encoder: Makes tokens of text.
        columns: Columns that every row must have for the loss.

    Raises:
        SwiftError: Everything that is wrong in the data, each with `file:line` and what to do.
    """
    data = read_data(plan)
    if data.modalities:
        reader = f"the model {plan.settings.model.model_id}"
        require_modalities(chain(data.train, data.held_out), getattr(encoder, "modalities", ()), reader)
        data = vetted(plan, data)
    stage, limit = stage_of(plan, data.train), limit_of(plan)
    judged = [item for item in data.held_out if is_judged(item, stage)]
    if columns:
        require_columns(chain(data.train, judged), columns, plan.loss.plugin.name)
    refuse_images(plan, (item.record for item in chain(data.train, data.held_out)))
    limit = limit_for(plan, limit, encoder)
    encoding = Encoding(plan, encoder, stage, limit)
    train, train_tally, kept_note = encoding.rows(data.train)
    if not train:
        raise SwiftError(_all_dropped(plan, train_tally))
    eval_tally = Tally()
    held_out = encode_rows(judged, encoder, stage, limit, eval_tally)
    facts = _facts(data, encoder, train_tally)
    if hasattr(encoder, "processing"):
        facts["rows_with_media"] = sum("media" in row for row in train)
    facts["conversations"] = any(isinstance(item.record.prompt, list) for item in data.train)
    facts["notes"] = [*data.notes, *([kept_note] if kept_note else [])]
    for name, rows, items in (("notes", train, data.train), ("eval_notes", held_out, judged)):
        if rows and (notes := judge_rows(rows, items, plan, stage, trained=name == "notes")):
            facts[name] = [*facts.get(name, ()), *notes]
    if not facts["notes"]:
        del facts["notes"]
    if data.held_out:
        counts = {f"eval_{name}": value for name, value in _counts(eval_tally).items()} if judged else {}
        facts |= {"eval_rows_read": len(data.held_out), "eval_prompts_only": len(data.held_out) - len(judged), **counts}
    return LoadedData(
        train=train,
        eval=held_out or None,
        eval_records=[item.record for item in data.held_out],
        collator=collator_of(stage.kind.collator(encoder.pad_token_id), encoder),
        head_config=stage.kind.head_config() if isinstance(stage.kind, HeadRows) else {},
        facts=facts,
    )


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the training rows of a run are encoded: by how many processes, kept on disk or in memory."""

    plan: RunPlan
    encoder: TextEncoder
    stage: Stage
    limit: Limit

    def rows(self, items: Sequence[Item] | StreamedItems) -> tuple[Sequence[Any], Tally, str]:
        """Return the rows, what became of those read, and what is to be told of where they are."""
        data = self.plan.settings.data
        if not data.streaming and not data.cache:
            return *self._made(items), ""
        if not can_keep(self.stage, self.encoder):
            return *self._made(
                items
            ), f"encoded rows are not kept: those of stage {self.stage.name} depend on each other"
        key = key_of(self.plan, items, self.encoder, self.stage, self.limit)
        named = data.dataset if isinstance(data.dataset, str) else ", ".join(data.dataset)
        try:
            kept = keep(key, named, self._made_for_keeping(items, whole=not data.streaming))
        except NotKeptError as error:
            if data.streaming:
                raise SwiftError(_cannot_stream(self.plan, error)) from error
            return *self._made(items), f"encoded rows are not kept: {error}"
        rows: Sequence[Any] = kept.rows if data.streaming else list(kept.rows)
        return rows, kept.rows.tally, kept.note

    def _made(self, items: Iterable[Item]) -> tuple[list[dict[str, Any]], Tally]:
        tally = Tally()
        num_proc = self.plan.settings.data.num_proc
        return encode_rows(items, self.encoder, self.stage, self.limit, tally, num_proc), tally

    def _made_for_keeping(self, items: Iterable[Item], *, whole: bool) -> Iterator[tuple[dict[str, Any], Tally]]:
        """Yield rows with the tally; `whole`: after all are made, so that mistakes come before anything is written."""
        if whole:
            rows, tally = self._made(items)
            yield from ((row, tally) for row in rows)
            return
        tally = Tally()
        num_proc = self.plan.settings.data.num_proc
        made = stream_rows(items, self.encoder, self.stage, self.limit, tally, num_proc)
        yield from ((row, tally) for row in made)


def _cannot_stream(plan: RunPlan, error: NotKeptError) -> Problem:
    message = f"rows cannot be kept on disk, which data.streaming needs: {error}."
    return Problem("cannot-stream", message, plan.config.place("data.streaming"), "remove data.streaming")


def stage_of(plan: RunPlan, train: Sequence[Item] | StreamedItems = ()) -> Stage:
    """Return what the procedure of `plan` eats; `train` are all training rows, which say what labels there are."""
    name = plan.procedure.plugin.name
    scales = LossScales([(part, plan.create(part)) for part in plan.loss_scales], plan) if plan.loss_scales else None
    kind = row_kind(str(plan.procedure.source.declared.get("rows", "tokens")), scales)
    if isinstance(kind, HeadRows):
        kind.begin([item.record for item in train], plan)
    return Stage(name, kind, trains_everything=name == "pt")


def limit_of(plan: RunPlan) -> Limit:
    """Return the length limit of `plan`."""
    data, config = plan.settings.data, plan.config
    return Limit(data.max_length, data.overlong, config.place("data.max_length") or config.place("data.dataset"))


def limit_for(plan: RunPlan, limit: Limit, encoder: TextEncoder) -> Limit:
    """Return the length limit for a model that reads at most `encoder.max_positions` tokens, where it says so.

    Raises:
        SwiftError: The run file asks for more.
    """
    most = getattr(encoder, "max_positions", limit.max_length)
    if limit.max_length <= most:
        return limit
    if "data.max_length" in plan.config.origins:
        message = f"data.max_length is {limit.max_length:,}, and the model reads {most:,} tokens at most."
        step = f"set data.max_length to {most} or less, and data.overlong to drop or truncate where texts are longer"
        raise SwiftError(Problem("too-long", message, plan.config.place("data.max_length"), step))
    return replace(limit, max_length=most)


def is_judged(item: Item, stage: Stage) -> bool:
    """Say whether a held-out row has something to judge the model on.

    A classification head judges every row, and a stage that samples every prompt.
    """
    if isinstance(stage.kind, HeadRows):
        return True
    record = item.record
    if isinstance(stage.kind, PromptRows):
        return record.prompt is not None
    answers = (record.text, record.completion, record.chosen, record.rejected)
    return any(answer is not None for answer in answers)


def percentile(lengths: Sequence[int], share: float) -> int:
    """Return the smallest length that at least `share` of the rows do not exceed."""
    ordered = sorted(lengths)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)] if ordered else 0


def _facts(data: RunData, encoder: TextEncoder, tally: Tally) -> dict[str, Any]:
    return {
        "sources": [asdict(source) for source in data.sources],
        "eval_sources": [asdict(source) for source in data.held_out_sources],
        "rows_read": len(data.train),
        **_counts(tally),
        "eos_trained": tally.num_ends_trained > 0,
        "end_of_turn": [encoder.decode([token]) for token in sorted(tally.ends)],
    }


def _counts(tally: Tally) -> dict[str, int]:
    return {
        "rows": tally.num_rows - tally.num_dropped,
        "rows_dropped": tally.num_dropped,
        "rows_truncated": tally.num_truncated,
        "answers_cut": tally.num_answers_cut,
        "trained_tokens": tally.num_trained_tokens,
        "tokens": tally.num_tokens,
        "rows_ending_trained": tally.num_ends_trained,
        "length_p50": percentile(tally.lengths, 0.5),
        "length_p99": percentile(tally.lengths, 0.99),
        "length_max": max(tally.lengths, default=0),
    }


def _all_dropped(plan: RunPlan, tally: Tally) -> Problem:
    length, where = tally.longest
    return Problem(
        "no-rows",
        f"Every one of {tally.num_rows:,} rows is longer than data.max_length, {plan.settings.data.max_length:,} "
        f"tokens, and data.overlong is {plan.settings.data.overlong}; the longest has {length:,} ({where}).",
        plan.config.place("data.max_length") or plan.config.place("data.overlong"),
        f"set data.max_length to {length}",
    )
