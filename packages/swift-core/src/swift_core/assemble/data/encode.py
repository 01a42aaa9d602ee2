"""From records to rows of tokens, and what becomes of rows that are too long."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from swift_core.assemble.data.rows import Item, Mistakes
from swift_core.assemble.spans import RowMistake
from swift_core.assemble.template import Encoded, encode_conversation, encode_plain, encode_text
from swift_core.errors import Place, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.contracts.data import Message, PairRow, Record, TextEncoder, TokenRow

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Stage:
    """What the procedure eats."""

    name: str
    rows: Literal["tokens", "pairs"]
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


@dataclass(frozen=True, slots=True)
class Sequences:
    """A row's sequences before they are cut: one, or chosen and rejected."""

    parts: tuple[Encoded, ...]

    @property
    def length(self) -> int:
        """Length of the longest, in tokens."""
        return max(len(part.ids) for part in self.parts)

    def cut(self, max_length: int) -> Sequences:
        """Return the first `max_length` tokens of each."""
        return Sequences(tuple(Encoded(part.ids[:max_length], part.trained[:max_length]) for part in self.parts))

    def is_trainable(self) -> bool:
        """Say whether each has a trained token that something stands before; the first token has no prediction."""
        return all(any(part.trained[1:]) for part in self.parts)


def encode_rows(
    items: Sequence[Item], encoder: TextEncoder, stage: Stage, limit: Limit, tally: Tally
) -> list[dict[str, Any]]:
    """Return the rows that are trained on, and count in `tally` what became of the others.

    Raises:
        SwiftError: Rows that cannot be encoded, or that are too long under `overlong: error`; all of them together.
    """
    mistakes = Mistakes()
    rows: list[dict[str, Any]] = []
    for item in items:
        try:
            sequences = encode_record(encoder, item.record, stage)
        except RowMistake as mistake:
            mistakes.add(mistake.code, str(mistake), item.row.place, mistake.next_step)
            continue
        kept = _fit(sequences, item.row.where, limit, tally)
        if kept is not None:
            rows.append(_row(kept, item.record, len(rows)))
            _count(kept, encoder, tally)
    if limit.overlong == "error" and tally.num_overlong:
        mistakes.found["overlong-rows"] = [_overlong(limit, tally, len(items))]
        mistakes.counts["overlong-rows"] = 1
    mistakes.raise_any()
    return rows


def encode_record(encoder: TextEncoder, record: Record, stage: Stage) -> Sequences:
    """Return the sequences of one record; raise RowMistake when the stage cannot use it."""
    sequences = (
        _pair(encoder, record, stage) if stage.rows == "pairs" else Sequences((_single(encoder, record, stage),))
    )
    if not sequences.is_trainable():
        raise RowMistake(
            "nothing-trained", "No token of this row would be trained.", "remove the row, or give it an answer"
        )
    return sequences


def _single(encoder: TextEncoder, record: Record, stage: Stage) -> Encoded:
    if record.text is not None:
        return encode_text(encoder, record.text)
    if record.prompt is None or record.completion is None:
        raise _unfit(record, stage)
    if isinstance(record.prompt, str) and isinstance(record.completion, str):
        encoded = encode_plain(encoder, record.prompt, record.completion)
    else:
        encoded = _conversation(encoder, record, record.completion)
    return Encoded(encoded.ids, [True] * len(encoded.ids)) if stage.trains_everything else encoded


def _pair(encoder: TextEncoder, record: Record, stage: Stage) -> Sequences:
    if record.prompt is None or record.chosen is None or record.rejected is None:
        raise _unfit(record, stage)
    chosen = _answer(encoder, record, record.chosen, "chosen")
    rejected = _answer(encoder, record, record.rejected, "rejected")
    # A token may reach from the prompt into one answer alone; then it belongs to both answers.
    common = 0
    limit = min(chosen.first_trained, rejected.first_trained)
    while common < limit and chosen.ids[common] == rejected.ids[common]:
        common += 1
    return Sequences((_from(chosen, common), _from(rejected, common)))


def _answer(encoder: TextEncoder, record: Record, answer: str | Sequence[Message], side: str) -> Encoded:
    if isinstance(record.prompt, str) and isinstance(answer, str):
        return encode_plain(encoder, record.prompt, answer)
    encoded = _conversation(encoder, record, answer)
    last = len(encoded.trained) - encoded.trained[::-1].index(True)
    if not all(encoded.trained[encoded.first_trained : last]):
        raise RowMistake(
            "several-turns",
            f"The {side} answer has turns between its assistant turns, and a pair compares one answer with another.",
            "put the turns before the answer into the prompt",
        )
    return Encoded(encoded.ids[:last], encoded.trained[:last])


def _conversation(encoder: TextEncoder, record: Record, answer: str | Sequence[Message]) -> Encoded:
    prompt, turns = record.prompt, answer
    if prompt is None or isinstance(prompt, str) or isinstance(turns, str):
        raise RowMistake(
            "mixed-row", "One part of the row is plain text and another a conversation.", "write both alike"
        )
    return encode_conversation(encoder, [*prompt, *turns], tools=record.tools, first=len(prompt))


def _from(encoded: Encoded, first: int) -> Encoded:
    return Encoded(encoded.ids, [index >= first for index in range(len(encoded.ids))])


def _unfit(record: Record, stage: Stage) -> RowMistake:
    """Say which stage the row would fit."""
    needed = "prompt, chosen and rejected" if stage.rows == "pairs" else "a completion"
    if record.chosen is not None and record.rejected is not None:
        fits = "set train.stage: dpo, which learns from chosen and rejected"
    elif record.completion is not None or record.text is not None:
        fits = "set train.stage: sft, which learns from completions" if record.text is None else "set train.stage: pt"
    else:
        fits = "use rows with a prompt alone as data.val_dataset, for metrics on generated answers"
    return RowMistake("row-does-not-fit-stage", f"Stage {stage.name} needs {needed}, and this row has none.", fits)


def _fit(sequences: Sequences, where: str, limit: Limit, tally: Tally) -> Sequences | None:
    """Return the row as it is trained on, or None when it is left out; count what is done."""
    length = sequences.length
    tally.num_rows += 1
    tally.lengths.append(length)
    tally.longest = max(tally.longest, (length, where), key=lambda pair: pair[0])
    if length <= limit.max_length:
        return sequences
    tally.num_overlong += 1
    cut = sequences.cut(limit.max_length)
    if limit.overlong != "truncate" or not cut.is_trainable():
        tally.num_dropped += 1
        return None
    tally.num_truncated += 1
    tally.num_answers_cut += any(
        sum(a.trained) < sum(b.trained) for a, b in zip(cut.parts, sequences.parts, strict=True)
    )
    return cut


def _row(kept: Sequences, record: Record, index: int) -> dict[str, Any]:
    if len(kept.parts) == 1:
        (part,) = kept.parts
        labels = [token if trained else IGNORED for token, trained in zip(part.ids, part.trained, strict=True)]
        single: TokenRow = {"input_ids": part.ids, "labels": labels, "row": index}
        return dict(single)
    chosen, rejected = kept.parts
    pair: PairRow = {
        "prompt_ids": chosen.ids[: chosen.first_trained],
        "chosen_ids": chosen.ids[chosen.first_trained :],
        "rejected_ids": rejected.ids[rejected.first_trained :],
        "margin": record.margin or 0.0,
        "row": index,
    }
    return dict(pair)


def _count(kept: Sequences, encoder: TextEncoder, tally: Tally) -> None:
    ends = []
    for part in kept.parts:
        tally.num_tokens += len(part.ids)
        tally.num_trained_tokens += sum(part.trained[1:])
        last = part.ids[len(part.ids) - 1 - part.trained[::-1].index(True)]
        if last in tally.ends or last == encoder.eos_token_id or encoder.decode([last]) in encoder.special_tokens:
            tally.ends.add(last)
            ends.append(last)
    tally.num_ends_trained += len(ends) == len(kept.parts)


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
