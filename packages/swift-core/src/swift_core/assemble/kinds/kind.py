"""The contract of a row kind, and what several of them need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from swift_core.assemble.spans import RowMistake
from swift_core.assemble.template import Encoded, encode_conversation, encode_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from swift_core.assemble.scales import LossScales
    from swift_core.contracts.data import Message, Record, TextEncoder

IGNORED = -100

Row = dict[str, Any]
Sequences = tuple[Encoded, ...]
"""The sequences that the model reads for one row: one answer, or chosen and rejected."""


class RowKind(Protocol):
    """What the rows of a stage are."""

    needs: ClassVar[str]
    """What a record must have, in words: `a completion`."""

    def sequences(self, encoder: TextEncoder, record: Record, *, whole: bool) -> Sequences | None:
        """Return the sequences of a record, None when it lacks what is needed; `whole`: train prompts too.

        Raises:
            RowMistake: The row has what is needed, and cannot be used.
        """

    def is_trainable(self, sequences: Sequences) -> bool:
        """Say whether something of the row, perhaps cut, would be trained."""

    def row(self, sequences: Sequences, record: Record, index: int) -> Row:
        """Return what is kept of the row; it must be JSON-able and has its place among all rows under `row`."""

    def finish(self, rows: list[Row]) -> list[Row]:
        """Return the rows of one part of the data, after a look at all of them."""

    def collator(self, pad_token_id: int) -> Callable[[Sequence[Any]], dict[str, Any]]:
        """Return what makes a batch of rows."""


@runtime_checkable
class SplitsRecords(Protocol):
    """A row kind that makes more than one row of some records."""

    def split(self, record: Record) -> tuple[Record, ...]:
        """Return the records, one for each row."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be said of the rows of one part of the data together."""

    mistakes: Sequence[RowMistake]
    notes: Sequence[str]
    """For the plan and the run's facts."""


@runtime_checkable
class JudgesRows(Protocol):
    """A row kind whose rows may be right one by one, and wrong together."""

    def judge(
        self, rows: Sequence[Row], records: Sequence[Record], loss: Mapping[str, Any], *, trained: bool
    ) -> Judgement:
        """Return what is to be said of finished rows.

        Args:
            rows: All rows of one part of the data.
            records: What they were made of, not yet split.
            loss: What the class of the loss declares.
            trained: Whether they are trained on, or held out.
        """


def has_trained_tokens(sequences: Sequences) -> bool:
    """Say whether each has a trained token that something stands before; the first token has no prediction."""
    return all(any(part.taught[1:]) for part in sequences)


def answer_of(
    encoder: TextEncoder,
    record: Record,
    answer: str | Sequence[Message],
    side: str,
    scales: LossScales | None = None,
) -> Encoded:
    """Return the prompt with one answer; `side` names it in messages.

    Turns of others inside it, such as what a tool said, are not trained. What loss scales keep out of it has the weight
    0, all else of it 1.
    """
    if isinstance(record.prompt, str) and isinstance(answer, str):
        encoded = encode_plain(encoder, record.prompt, answer)
        weighed = encode_plain(encoder, record.prompt, answer, scales=scales) if scales else None
    else:
        encoded = _one_answer(encoder, record, answer, side)
        weighed = conversation_of(encoder, record, answer, scales) if scales else None
    if weighed is None or scales is None:
        return encoded
    own = encoded.weights or [1.0] * len(encoded.ids)
    switches = _switches(encoded, weighed, side, scales)
    return replace(encoded, weights=[mine * switch for mine, switch in zip(own, switches, strict=True)])


def _switches(encoded: Encoded, weighed: Encoded, side: str, scales: LossScales) -> list[float]:
    """Return 1 for each token of the answer that loss scales leave in, and 0 for the others.

    Raises:
        RowMistake: They give a token of the answer another weight, or train what stands before it.
    """
    names = "+".join(scales.names)
    weights = (weighed.weights or [])[: len(encoded.ids)]
    answer = [weight for weight, mine in zip(weights, encoded.trained, strict=True) if mine]
    odd = next((weight for weight in answer if weight not in (0.0, 1.0)), None)
    if odd is not None:
        raise RowMistake(
            "fractional-weight",
            f"The loss scale {names} gives a token of the {side} answer the weight {odd:g}, and where answers are "
            "compared a token is trained (1) or not (0).",
            "give the loss scale weights of 1 and 0, or remove train.loss_scale",
        )
    if any(weight for weight, mine in zip(weights, encoded.trained, strict=True) if not mine):
        raise RowMistake(
            "prompt-weighed",
            f"The loss scale {names} trains what stands before the {side} answer, and answers to one prompt are "
            "compared.",
            "write loss_scale: default, or last_round",
        )
    return [1.0 if weight or not mine else 0.0 for weight, mine in zip(weights, encoded.trained, strict=True)]


def _one_answer(encoder: TextEncoder, record: Record, answer: str | Sequence[Message], side: str) -> Encoded:
    encoded = conversation_of(encoder, record, answer)
    if any(weight not in (0.0, 1.0) for weight in encoded.weights or ()):
        raise RowMistake(
            "fractional-weight",
            f"A turn of the {side} answer has a weight, and where answers are compared a token is trained or not.",
            "write loss: false, or remove the weight",
        )
    last = len(encoded.trained) - encoded.trained[::-1].index(True)
    trained, first = encoded.trained[:last], encoded.first_trained
    if all(trained[first:]):
        return Encoded(encoded.ids[:last], trained)
    weights = [1.0 if mine or place < first else 0.0 for place, mine in enumerate(trained)]
    return Encoded(encoded.ids[:last], trained, weights)


def conversation_of(
    encoder: TextEncoder, record: Record, answer: str | Sequence[Message], scales: LossScales | None = None
) -> Encoded:
    """Return the prompt's turns with those of `answer`; both must be conversations."""
    prompt, turns = record.prompt, answer
    if prompt is None or isinstance(prompt, str) or isinstance(turns, str):
        raise RowMistake(
            "mixed-row", "One part of the row is plain text and another a conversation.", "write both alike"
        )
    messages = [*prompt, *turns]
    return encode_conversation(encoder, messages, tools=record.tools, first=len(prompt), scales=scales)


def switched(part: Encoded, first: int) -> list[bool] | None:
    """Return which tokens from `first` on are trained; None when all are."""
    taught = part.taught[first:]
    return None if all(taught) else taught


def labels_of(prompt: Sequence[int], answer: Sequence[int], trained: Sequence[bool] | None) -> list[int]:
    """Return the labels of a prompt with an answer, of which all tokens are trained when `trained` is None."""
    kept = [True] * len(answer) if trained is None else trained
    return [IGNORED] * len(prompt) + [token if mine else IGNORED for token, mine in zip(answer, kept, strict=True)]


def padded(ids: Sequence[list[int]], labels: Sequence[list[int]], pad_token_id: int) -> dict[str, Tensor]:
    """Return int64 input_ids, attention_mask and labels, [sequence, time], padded on the right to the longest.

    Labels are the token itself where it is trained and -100 elsewhere; the shift by one is the trainer's.
    """
    import torch

    longest = max(len(sequence) for sequence in ids)
    gaps = [longest - len(sequence) for sequence in ids]
    columns = {
        "input_ids": [sequence + [pad_token_id] * gap for sequence, gap in zip(ids, gaps, strict=True)],
        "attention_mask": [[1] * (longest - gap) + [0] * gap for gap in gaps],
        "labels": [sequence + [IGNORED] * gap for sequence, gap in zip(labels, gaps, strict=True)],
    }
    return {name: torch.tensor(values, dtype=torch.int64) for name, values in columns.items()}
