"""Rows of unpaired stages: a prompt with one answer and whether it is wanted.

Each row also gets the answer of a row with another prompt, on which KTO estimates how far the policy has moved.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.assemble.kinds.kind import (
    Judgement,
    Row,
    Sequences,
    answer_of,
    has_trained_tokens,
    labels_of,
    padded,
    switched,
)
from swift_core.assemble.spans import RowMistake

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.assemble.scales import LossScales
    from swift_core.contracts.data import Message, Record, TextEncoder, UnpairedRow


_PROMPT = "prompt"
"""Key of a row's prompt as text until rows are finished: tokens at its end may differ with the answer."""


@dataclass(slots=True)
class UnpairedRows:
    """A prompt with one labelled answer; a pair counts as two such rows."""

    needs: ClassVar[str] = "prompt, completion and label, or prompt, chosen and rejected"
    reads_images: ClassVar[bool] = True
    scales: LossScales | None = None
    """The run's loss scales: they say which tokens of an answer are trained."""

    def split(self, record: Record) -> tuple[Record, ...]:
        """Return a pair as its chosen answer, wanted, and its rejected one, unwanted; another record as it is."""
        if record.chosen is None or record.rejected is None:
            return (record,)
        bare = replace(record, chosen=None, rejected=None, reference=None, margin=None)
        return (
            replace(bare, completion=record.chosen, label=True),
            replace(bare, completion=record.rejected, label=False),
        )

    def sequences(self, encoder: TextEncoder, record: Record, *, whole: bool) -> Sequences | None:
        """Return the prompt with its answer; of an answer in several turns the last, the others are read."""
        if record.prompt is None or record.completion is None:
            return None
        if record.label is None:
            raise RowMistake(
                "no-label",
                "The row has a completion and does not say whether it is wanted.",
                "give it a column label with true or false, or set train.stage: sft",
            )
        record = _last_turn(record)
        assert record.completion is not None  # it was there before
        return (answer_of(encoder, record, record.completion, "labelled", self.scales),)

    def is_trainable(self, sequences: Sequences) -> bool:
        """Say whether the answer has a trained token."""
        return has_trained_tokens(sequences)

    def row(self, sequences: Sequences, record: Record, index: int) -> Row:
        """Return an `UnpairedRow`, without the answer to another prompt."""
        (part,) = sequences
        row: UnpairedRow = {
            "prompt_ids": part.ids[: part.first_trained],
            "completion_ids": part.ids[part.first_trained :],
            "desirable": bool(record.label),
            "row": index,
        }
        trained = switched(part, part.first_trained)
        if trained is not None:
            row["completion_trained"] = trained
        shown = [image.stamp or image.name for image in record.media]
        return {**row, _PROMPT: json.dumps([_last_turn(record).prompt, shown], sort_keys=True)}

    def finish(self, rows: list[Row]) -> list[Row]:
        """Give each row the answer of a row with another prompt, where there is one, no longer than the longest row."""
        partners = mismatched([row.pop(_PROMPT) for row in rows])
        if partners is None:
            return rows
        longest = max(len(row["prompt_ids"]) + len(row["completion_ids"]) for row in rows)
        return [
            {**row, **_borrowed(rows[partner], longest - len(row["prompt_ids"]))}
            for row, partner in zip(rows, partners, strict=True)
        ]

    def judge(
        self, rows: Sequence[Row], records: Sequence[Record], loss: Mapping[str, Any], *, trained: bool
    ) -> Judgement:
        """Say how rows are counted, that all have one label, and that none has an answer to another prompt."""
        labels = Counter(row["desirable"] for row in rows)
        notes = [f"desirable rows: {labels[True]:,}, undesirable rows: {labels[False]:,}"]
        if pairs := sum(record.chosen is not None for record in records):
            notes.append(f"pairs, each taken as a desirable row (chosen) and an undesirable one (rejected): {pairs:,}")
        mistakes = [_one_label(next(iter(labels)))] if trained and len(labels) == 1 else []
        if loss.get("needs_mismatched"):
            if any("kl_ids" not in row for row in rows):
                mistakes.append(_one_prompt())
            elif cut := _num_cut(rows):
                notes.append(f"answers to other prompts, for the KL term, that were cut to the longest row: {cut:,}")
        return Judgement(mistakes, notes)

    def collator(self, pad_token_id: int) -> UnpairedCollator:
        """Return the collator."""
        return UnpairedCollator(pad_token_id)


def _borrowed(partner: Row, room: int) -> Row:
    """Return the answer of another row, cut to `room` tokens, with which of them are trained."""
    taken: Row = {"kl_ids": partner["completion_ids"][:room]}
    if "completion_trained" in partner:
        taken["kl_trained"] = partner["completion_trained"][:room]
    return taken


def mismatched(prompts: Sequence[object]) -> list[int] | None:
    """Return for each row another row whose prompt differs; None when all prompts are the same.

    Rows are put in an order that depends on their number alone, prompt by prompt, and each takes the answer of the row
    that stands as far on as the most frequent prompt has rows. So every answer is taken exactly once, unless more
    than half of all rows have one prompt: these then take the answers of the others in turn.
    """
    groups: dict[object, list[int]] = defaultdict(list)
    order = list(range(len(prompts)))
    random.Random(0).shuffle(order)  # neighbours in a file are often about one thing
    for index in order:
        groups[prompts[index]].append(index)
    if len(groups) < 2:
        return None
    by_size = sorted(groups.values(), key=len, reverse=True)
    order = [index for group in by_size for index in group]
    shift, others = len(by_size[0]), order[len(by_size[0]) :]
    partners = [0] * len(order)
    for place, index in enumerate(order):
        partners[index] = others[place % len(others)] if place < shift else order[(place + shift) % len(order)]
    if 2 * shift > len(order):
        for place, index in enumerate(others):
            partners[index] = order[place]
    return partners


def _last_turn(record: Record) -> Record:
    """Move all turns of the answer but its last assistant turn to the prompt: a label judges the last one."""
    prompt, turns = record.prompt, record.completion
    if prompt is None or turns is None or isinstance(prompt, str) or isinstance(turns, str):
        return record
    assistant = [index for index, turn in enumerate(turns) if turn["role"] == "assistant"]
    if not assistant:
        return record
    last = assistant[-1]
    before: list[Message] = [*prompt, *turns[:last]]
    return replace(record, prompt=before, completion=[_last_words(turns[last]), *turns[last + 1 :]])


def _last_words(turn: Message) -> Message:
    """Let all be read that stands before the last tool's result inside a turn."""
    return {**turn, "read": [(0, turn["read"][-1][1])]} if turn.get("read") else turn


def _num_cut(rows: Sequence[Row]) -> int:
    """Return how many answers to other prompts are no whole answers of the data."""
    whole = {tuple(row["completion_ids"]) for row in rows}
    return sum(tuple(row["kl_ids"]) not in whole for row in rows)


def _one_label(desirable: bool) -> RowMistake:
    wanted, missing, way = (
        ("desirable", "undesirable", "set train.stage: sft to learn from good answers alone, or add rows")
        if desirable
        else ("undesirable", "desirable", "add rows")
    )
    return RowMistake(
        "one-label",
        f"All rows are {wanted}, and an unpaired stage learns from how {missing} answers differ from them.",
        f"{way} with label: {'false' if desirable else 'true'}",
    )


def _one_prompt() -> RowMistake:
    return RowMistake(
        "one-prompt",
        "All rows have the same prompt, and the loss measures the policy's KL divergence on answers to other prompts.",
        "give rows with other prompts, or choose a loss that does not measure it: apo_zero_unpaired, bco",
    )


@dataclass(frozen=True, slots=True)
class UnpairedCollator:
    """Batches of unpaired stages."""

    pad_token_id: int

    def __call__(self, rows: Sequence[UnpairedRow]) -> dict[str, Tensor]:
        """Return int64 input_ids, attention_mask, labels [row, time] and rows [row], and desirable, bool [row].

        Where rows have an answer to another prompt, the same of it under the names kl_input_ids, kl_attention_mask and
        kl_labels. Labels are set on the answer alone.
        """
        import torch

        batch = self._sequences(
            [(row["prompt_ids"], row["completion_ids"], row.get("completion_trained")) for row in rows]
        )
        if all("kl_ids" in row for row in rows):
            other = self._sequences([(row["prompt_ids"], row["kl_ids"], row.get("kl_trained")) for row in rows])
            batch |= {f"kl_{name}": values for name, values in other.items()}
        return batch | {
            "desirable": torch.tensor([row["desirable"] for row in rows], dtype=torch.bool),
            "rows": torch.tensor([row["row"] for row in rows], dtype=torch.int64),
        }

    def _sequences(self, parts: Sequence[tuple[list[int], list[int], list[bool] | None]]) -> dict[str, Tensor]:
        ids = [prompt + completion for prompt, completion, _ in parts]
        return padded(ids, [labels_of(*part) for part in parts], self.pad_token_id)
