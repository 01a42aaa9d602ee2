"""From records to rows of tokens, and what becomes of rows that are too long."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from swift_core.assemble.data.rows import Item, Mistakes
from swift_core.assemble.kinds.kind import JudgesRows, SplitsRecords
from swift_core.assemble.spans import RowMistake
from swift_core.assemble.vision.rows import encoder_of, image_cut, with_images
from swift_core.errors import Place, Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from swift_core.assemble.kinds.kind import RowKind, Sequences
    from swift_core.contracts.data import Record, TextEncoder
    from swift_core.contracts.handover import RunPlan


@dataclass(frozen=True, slots=True)
class Stage:
    """What the procedure eats."""

    name: str
    kind: RowKind
    trains_everything: bool
    """Whether prompts are trained too, as in continued pre-training."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The longest sequence, and what becomes of a longer one."""

    max_length: int
    overlong: Literal["error", "drop", "truncate"]
    place: Place | None


@dataclass(slots=True)
class Tally:
    """What happened to the rows of one part of the data; lengths are in tokens, before any cut."""

    lengths: list[int] = field(default_factory=list)
    num_rows: int = 0
    num_dropped: int = 0
    num_truncated: int = 0
    num_answers_cut: int = 0
    """Truncated rows that lost trained tokens."""

    num_trained_tokens: int = 0
    num_tokens: int = 0
    num_ends_trained: int = 0
    """Rows whose last trained token ends a turn or a text; of pairs, both."""

    ends: set[int] = field(default_factory=set)
    longest: tuple[int, str] = (0, "")
    """Length and place of the longest row."""

    num_overlong: int = 0

    def add(self, other: Tally) -> None:
        """Count in what happened to other rows."""
        self.lengths += other.lengths
        self.ends |= other.ends
        self.longest = max(self.longest, other.longest, key=lambda pair: pair[0])
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_COUNTS = tuple(each.name for each in fields(Tally) if each.name not in ("lengths", "ends", "longest"))

_Encoded = tuple[list[dict[str, Any]], Tally, Mistakes, tuple[Problem, ...]]


def split_items(items: Sequence[Item], stage: Stage) -> list[Item]:
    """Return an item for each row of the stage: some kinds of rows make several of one record."""
    if not isinstance(stage.kind, SplitsRecords):
        return list(items)
    return [replace(item, record=record) for item in items for record in stage.kind.split(item.record)]


def count_rows(items: Iterable[Item], stage: Stage) -> int:
    """Return how many rows of the stage the items make."""
    return sum(len(split_items([item], stage)) for item in items)


def encode_rows(
    items: Iterable[Item], encoder: TextEncoder, stage: Stage, limit: Limit, tally: Tally, num_proc: int = 1
) -> list[dict[str, Any]]:
    """Return the rows that are trained on, and count in `tally` what became of the others.

    Raises:
        SwiftError: Rows that cannot be encoded, or that are too long under `overlong: error`; all of them together.
    """
    return stage.kind.finish(list(stream_rows(items, encoder, stage, limit, tally, num_proc)))


def stream_rows(
    items: Iterable[Item], encoder: TextEncoder, stage: Stage, limit: Limit, tally: Tally, num_proc: int = 1
) -> Iterator[dict[str, Any]]:
    """Yield rows as `encode_rows` returns them, unfinished; what is wrong is raised behind the last."""
    mistakes = Mistakes()
    job = partial(_encode_batch, encoder=encoder, stage=stage, limit=limit)
    number = 0
    for rows, counted, found, raised in _batches(job, items, num_proc):
        if raised:
            raise SwiftError(raised)
        tally.add(counted)
        mistakes.extend(found)
        for row in rows:
            yield {**row, "row": number}
            number += 1
    if limit.overlong == "error" and tally.num_overlong:
        mistakes.found["overlong-rows"] = [_overlong(limit, tally, tally.num_rows)]
        mistakes.counts["overlong-rows"] = 1
    mistakes.raise_any()


def _batches(job: Callable[[Sequence[Item]], _Encoded], items: Iterable[Item], num_proc: int) -> Iterator[_Encoded]:
    if num_proc > 1:
        from swift_core.assemble.data.parallel_encode import in_processes

        yield from in_processes(job, items, num_proc)
        return
    for item in items:
        yield job([item])


def _encode_batch(items: Sequence[Item], encoder: TextEncoder, stage: Stage, limit: Limit) -> _Encoded:
    """Return rows, what became of the others, mistakes, and the problems of a plugin that failed."""
    tally, mistakes = Tally(), Mistakes()
    rows: list[dict[str, Any]] = []
    try:
        _encode_each(split_items(items, stage), encoder, stage, limit, rows, tally, mistakes)
    except SwiftError as error:  # it does not travel between processes, and its problems do
        return rows, tally, mistakes, tuple(error.problems)
    return rows, tally, mistakes, ()


def _encode_each(
    items: Sequence[Item],
    encoder: TextEncoder,
    stage: Stage,
    limit: Limit,
    rows: list[dict[str, Any]],
    tally: Tally,
    mistakes: Mistakes,
) -> None:
    for item in items:
        try:
            sequences = encode_record(encoder, item.record, stage)
            kept = _fit(sequences, item.row.where, stage, limit, tally)
        except RowMistake as mistake:
            mistakes.add(mistake.code, str(mistake), item.row.place, mistake.next_step)
            continue
        if kept is not None:
            rows.append(with_images(stage.kind.row(kept, item.record, len(rows)), item.record))
            _count(kept, encoder, tally)


def judge_rows(
    rows: Sequence[dict[str, Any]], items: Iterable[Item], plan: RunPlan, stage: Stage, *, trained: bool
) -> tuple[str, ...]:
    """Return what is to be told of all rows of one part of the data together.

    Raises:
        SwiftError: Each may be right, and together they cannot be used with this loss.
    """
    if not isinstance(stage.kind, JudgesRows):
        return ()
    records = [item.record for item in items]
    judgement = stage.kind.judge(rows, records, plan.loss.source.declared, trained=trained)
    config = plan.config
    place = config.place("data.dataset" if trained or not plan.settings.data.val_dataset else "data.val_dataset")
    part = "" if trained else "Of the held-out rows: "
    if judgement.mistakes:
        raise SwiftError(Problem(m.code, part + str(m), place, m.next_step) for m in judgement.mistakes)
    return tuple(judgement.notes)


def encode_record(encoder: TextEncoder, record: Record, stage: Stage) -> Sequences:
    """Return the sequences of one record; raise RowMistake when the stage cannot use it."""
    encoder, images = encoder_of(encoder, record, stage)
    sequences = stage.kind.sequences(encoder, record, whole=stage.trains_everything)
    if sequences is None:
        raise _unfit(record, stage)
    sequences = tuple(part.without(images()) for part in sequences)
    if not stage.kind.is_trainable(sequences):
        raise RowMistake(
            "nothing-trained", "No token of this row would be trained.", "remove the row, or give it an answer"
        )
    return sequences


def _unfit(record: Record, stage: Stage) -> RowMistake:
    """Say which stage the row would fit."""
    if record.chosen is not None and record.rejected is not None:
        fits = "set train.stage: dpo, which learns from chosen and rejected"
    elif record.completion is not None or record.text is not None:
        fits = "set train.stage: sft, which learns from completions" if record.text is None else "set train.stage: pt"
    elif record.steps:
        fits = "set train.stage: prm, which learns from steps"
    else:
        fits = "use rows with a prompt alone as data.val_dataset, for metrics on generated answers"
    return RowMistake(
        "row-does-not-fit-stage", f"Stage {stage.name} needs {stage.kind.needs}, and this row has none.", fits
    )


def _fit(sequences: Sequences, where: str, stage: Stage, limit: Limit, tally: Tally) -> Sequences | None:
    """Return the row as it is trained on, or None when it is left out; count what is done.

    Raises:
        RowMistake: A cut would take an image, or a part of one, away.
    """
    length = max(len(part.ids) for part in sequences)
    tally.num_rows += 1
    tally.lengths.append(length)
    tally.longest = max(tally.longest, (length, where), key=lambda pair: pair[0])
    if length <= limit.max_length:
        return sequences
    tally.num_overlong += 1
    if limit.overlong == "truncate" and (needed := max(part.num_before_cut for part in sequences)) > limit.max_length:
        raise image_cut(needed, length, limit.max_length)
    cut = tuple(part.cut(limit.max_length) for part in sequences)
    if limit.overlong != "truncate" or not stage.kind.is_trainable(cut):
        tally.num_dropped += 1
        return None
    tally.num_truncated += 1
    tally.num_answers_cut += any(sum(a.taught) < sum(b.taught) for a, b in zip(cut, sequences, strict=True))
    return cut


def _count(kept: Sequences, encoder: TextEncoder, tally: Tally) -> None:
    ends = []
    for part in kept:
        tally.num_tokens += len(part.ids)
        taught = part.taught
        tally.num_trained_tokens += sum(taught[1:])
        if True not in taught:
            continue
        last = part.ids[len(part.ids) - 1 - taught[::-1].index(True)]
        if last in tally.ends or last == encoder.eos_token_id or encoder.decode([last]) in encoder.special_tokens:
            tally.ends.add(last)
            ends.append(last)
    tally.num_ends_trained += len(ends) == len(kept)


def _overlong(limit: Limit, tally: Tally, num_rows: int) -> Problem:
    length, where = tally.longest
    rows = "row is" if tally.num_overlong == 1 else "rows are"
    return Problem(
        "overlong-rows",
        f"{tally.num_overlong:,} of {num_rows:,} {rows} longer than data.max_length, {limit.max_length:,} tokens; "
        f"the longest has {length:,} ({where}).",
        limit.place,
        f"set data.max_length to {length}, or data.overlong to drop or truncate",
    )
