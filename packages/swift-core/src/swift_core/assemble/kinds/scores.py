"""Rows of the stage rm: a prompt with a better and a worse answer, each read whole and scored at its last token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

from swift_core.assemble.kinds.heads import last_scored, named, padded_ids, read_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from swift_core.assemble.kinds.kind import Row, Sequences
    from swift_core.contracts.data import Record, TextEncoder
    from swift_core.contracts.handover import RunPlan


class ScoreRow(TypedDict):
    """A row of the stage rm."""

    chosen_ids: list[int]
    """Prompt and chosen answer."""

    rejected_ids: list[int]
    margin: float
    row: int


@dataclass(slots=True)
class ScoreRows:
    """A prompt with two answers, which a head with one output scores."""

    needs: ClassVar[str] = "prompt, chosen and rejected"

    def begin(self, records: Sequence[Record], plan: RunPlan) -> None:
        """Do nothing: there is one score, whatever the records are."""

    def head_config(self) -> dict[str, Any]:
        """Return a head with one output."""
        return named(["score"])

    def sequences(self, encoder: TextEncoder, record: Record, *, whole: bool) -> Sequences | None:
        """Return the prompt with the chosen and with the rejected answer; plain text ends in the end-of-text token."""
        if record.prompt is None or record.chosen is None or record.rejected is None:
            return None
        answers = (record.chosen, record.rejected)
        return tuple(
            last_scored(read_whole(encoder, record.prompt, answer, tools=record.tools, end=True)) for answer in answers
        )

    def is_trainable(self, sequences: Sequences) -> bool:
        """Say whether both answers are whole: the score of a cut one would be that of another answer."""
        return all(any(part.trained) for part in sequences)

    def row(self, sequences: Sequences, record: Record, index: int) -> Row:
        """Return a `ScoreRow`."""
        chosen, rejected = sequences
        margin = record.margin or 0.0
        row: ScoreRow = {"chosen_ids": chosen.ids, "rejected_ids": rejected.ids, "margin": margin, "row": index}
        return dict(row)

    def finish(self, rows: list[Row]) -> list[Row]:
        """Return the rows as they are."""
        return rows

    def collator(self, pad_token_id: int) -> ScoreCollator:
        """Return the collator."""
        return ScoreCollator(pad_token_id)


@dataclass(frozen=True, slots=True)
class ScoreCollator:
    """Batches of the stage rm: first every chosen sequence, then every rejected one."""

    pad_token_id: int

    def __call__(self, rows: Sequence[ScoreRow]) -> dict[str, Tensor]:
        """Return int64 input_ids and attention_mask [2 * pair, time], labels and rows [pair], float32 margins [pair].

        A label is the index of the better answer, and so 0.
        """
        import torch

        sequences = [row["chosen_ids"] for row in rows] + [row["rejected_ids"] for row in rows]
        return padded_ids(sequences, self.pad_token_id) | {
            "labels": torch.zeros(len(rows), dtype=torch.int64),
            "margins": torch.tensor([row["margin"] for row in rows], dtype=torch.float32),
            "rows": torch.tensor([row["row"] for row in rows], dtype=torch.int64),
        }
