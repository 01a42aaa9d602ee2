"""Rows of stages that sample: a prompt, and what rewards want to know of its row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.assemble.generate import prompt_ids
from swift_core.assemble.kinds.kind import Row, Sequences
from swift_core.assemble.spans import RowMistake
from swift_core.assemble.template import Encoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.contracts.data import PromptRow, Record, TextEncoder


@dataclass(slots=True)
class PromptRows:
    """A prompt; an answer that the data has is left to the rewards."""

    needs: ClassVar[str] = "a prompt"

    def sequences(self, encoder: TextEncoder, record: Record, *, whole: bool) -> Sequences | None:
        """Return the prompt as the model is asked with it."""
        if record.prompt is None:
            return None
        try:
            ids = prompt_ids(encoder, record.prompt, record.tools)
        except ValueError as error:
            raise RowMistake("template-refuses", f"{error}", "change the row, or model.chat_template") from error
        return (Encoded(ids, [False] * len(ids)),)

    def is_trainable(self, sequences: Sequences) -> bool:
        """Say whether there is anything to answer."""
        return bool(sequences[0].ids)

    def row(self, sequences: Sequences, record: Record, index: int) -> Row:
        """Return a `PromptRow`."""
        return dict(prompt_row(record, sequences[0].ids, index))

    def finish(self, rows: list[Row]) -> list[Row]:
        """Return the rows as they are."""
        return rows

    def collator(self, pad_token_id: int) -> PromptCollator:
        """Return the collator."""
        return PromptCollator()


def prompt_row(record: Record, prompt_ids: list[int], index: int) -> PromptRow:
    """Return a record with a prompt as rewards and engines are given it."""
    prompt: Any = record.prompt
    return {
        "prompt_ids": prompt_ids,
        "prompt": prompt if isinstance(prompt, str) else [dict(turn) for turn in prompt],
        "ground_truth": record.ground_truth,
        "columns": dict(record.columns),
        "row": index,
    }


@dataclass(frozen=True, slots=True)
class PromptCollator:
    """Prompts stay as they are: answers are drawn before anything is padded."""

    def __call__(self, rows: Sequence[PromptRow]) -> dict[str, Any]:
        """Return the rows under `prompts`."""
        return {"prompts": list(rows)}
