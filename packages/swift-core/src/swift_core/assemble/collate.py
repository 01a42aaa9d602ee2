"""Batches: rows padded on the right to the longest of them.

Labels are the token itself where it is trained and -100 elsewhere; the shift by one is the trainer's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from swift_core.contracts.data import PairRow, TokenRow

IGNORED = -100


@dataclass(frozen=True, slots=True)
class TokenCollator:
    """Batches of the stages pt and sft."""

    pad_token_id: int

    def __call__(self, rows: Sequence[TokenRow]) -> dict[str, Tensor]:
        """Return input_ids, attention_mask and labels, int64 [batch, time], and rows, int64 [batch]."""
        import torch

        batch = _padded([row["input_ids"] for row in rows], [row["labels"] for row in rows], self.pad_token_id)
        return batch | {"rows": torch.tensor([row["row"] for row in rows], dtype=torch.int64)}


@dataclass(frozen=True, slots=True)
class PairCollator:
    """Batches of preference stages: first every chosen sequence, then every rejected one."""

    pad_token_id: int

    def __call__(self, rows: Sequence[PairRow]) -> dict[str, Tensor]:
        """Return int64 input_ids, attention_mask, labels [2 * pair, time] and rows [pair], float32 margins [pair].

        A sequence is the prompt and a completion; labels are set on the completion alone.
        """
        import torch

        pairs = [(row["prompt_ids"], row["chosen_ids"]) for row in rows]
        pairs += [(row["prompt_ids"], row["rejected_ids"]) for row in rows]
        batch = _padded(
            [prompt + completion for prompt, completion in pairs],
            [[IGNORED] * len(prompt) + completion for prompt, completion in pairs],
            self.pad_token_id,
        )
        return batch | {
            "margins": torch.tensor([row["margin"] for row in rows], dtype=torch.float32),
            "rows": torch.tensor([row["row"] for row in rows], dtype=torch.int64),
        }


def _padded(ids: Sequence[list[int]], labels: Sequence[list[int]], pad_token_id: int) -> dict[str, Tensor]:
    import torch

    longest = max(len(sequence) for sequence in ids)
    gaps = [longest - len(sequence) for sequence in ids]
    columns = {
        "input_ids": [sequence + [pad_token_id] * gap for sequence, gap in zip(ids, gaps, strict=True)],
        "attention_mask": [[1] * (longest - gap) + [0] * gap for gap in gaps],
        "labels": [sequence + [IGNORED] * gap for sequence, gap in zip(labels, gaps, strict=True)],
    }
    return {name: torch.tensor(values, dtype=torch.int64) for name, values in columns.items()}
