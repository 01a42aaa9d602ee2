"""Rows of the stages pt and sft: one sequence, of which some tokens are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from swift_core.assemble.kinds.kind import IGNORED, Row, Sequences, conversation_of, has_trained_tokens, padded
from swift_core.assemble.template import Encoded, encode_plain, encode_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from swift_core.assemble.scales import LossScales
    from swift_core.contracts.data import Record, TextEncoder, TokenRow


@dataclass(slots=True)
class TokenRows:
    """Plain text, or a prompt with its completion."""

    needs: ClassVar[str] = "a completion"
    reads_images: ClassVar[bool] = True
    scales: LossScales | None = None
    """The run's loss scales."""

    def sequences(self, encoder: TextEncoder, record: Record, *, whole: bool) -> Sequences | None:
        """Return the one sequence."""
        if record.text is not None:
            return (encode_text(encoder, record.text),)
        if record.prompt is None or record.completion is None:
            return None
        if isinstance(record.prompt, str) and isinstance(record.completion, str):
            encoded = encode_plain(encoder, record.prompt, record.completion, scales=self.scales)
        else:
            encoded = conversation_of(encoder, record, record.completion, self.scales)
        return (Encoded(encoded.ids, [True] * len(encoded.ids)) if whole else encoded,)

    def is_trainable(self, sequences: Sequences) -> bool:
        """Say whether a token is trained."""
        return has_trained_tokens(sequences)

    def row(self, sequences: Sequences, record: Record, index: int) -> Row:
        """Return a `TokenRow`."""
        (part,) = sequences
        labels = [token if trained else IGNORED for token, trained in zip(part.ids, part.trained, strict=True)]
        row: TokenRow = {"input_ids": part.ids, "labels": labels, "row": index}
        if part.weights is not None:
            row["loss_scale"] = part.weights
        return dict(row)

    def finish(self, rows: list[Row]) -> list[Row]:
        """Return the rows as they are."""
        return rows

    def collator(self, pad_token_id: int) -> TokenCollator:
        """Return the collator."""
        return TokenCollator(pad_token_id)


@dataclass(frozen=True, slots=True)
class TokenCollator:
    """Batches of the stages pt and sft."""

    pad_token_id: int

    def __call__(self, rows: Sequence[TokenRow]) -> dict[str, Tensor]:
        """Return input_ids, attention_mask and labels, int64 [batch, time], and rows, int64 [batch].

        Where a row has weights, `loss_scale`, float32 [batch, time], has those of all; 1 in rows without.
        """
        import torch

        batch = padded([row["input_ids"] for row in rows], [row["labels"] for row in rows], self.pad_token_id)
        if any("loss_scale" in row for row in rows):
            scale = torch.ones(batch["labels"].shape)
            for index, row in enumerate(rows):
                if "loss_scale" in row:
                    scale[index, : len(row["loss_scale"])] = torch.tensor(row["loss_scale"])
            batch["loss_scale"] = scale
        return batch | {"rows": torch.tensor([row["row"] for row in rows], dtype=torch.int64)}
