"""Rows of preference stages: a prompt with a chosen and a rejected answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from swift_core.assemble.kinds.kind import Row, Sequences, answer_of, has_trained_tokens, labels_of, padded, switched
from swift_core.assemble.template import Encoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from swift_core.assemble.scales import LossScales
    from swift_core.contracts.data import PairRow, Record, TextEncoder


@dataclass(slots=True)
class PairRows:
    """A prompt with two answers."""

    needs: ClassVar[str] = "prompt, chosen and rejected"
    reads_images: ClassVar[bool] = True
    scales: LossScales | None = None
    """The run's loss scales: they say which tokens of an answer are trained."""

    def sequences(self, encoder: TextEncoder, record: Record, *, whole: bool) -> Sequences | None:
        """Return the prompt with the chosen, the rejected and, where the record has one, the reference answer."""
        if record.prompt is None or record.chosen is None or record.rejected is None:
            return None
        chosen = answer_of(encoder, record, record.chosen, "chosen", self.scales)
        rejected = answer_of(encoder, record, record.rejected, "rejected", self.scales)
        answers = [chosen, rejected]
        if record.reference is not None:
            answers.append(answer_of(encoder, record, record.reference, "reference", self.scales))
        # A token may reach from the prompt into one answer alone; then it belongs to all answers.
        common = 0
        limit = min(answer.first_trained for answer in answers)
        while common < limit and len({answer.ids[common] for answer in answers}) == 1:
            common += 1
        return tuple(_from(answer, common) for answer in answers)

    def is_trainable(self, sequences: Sequences) -> bool:
        """Say whether every answer has a trained token."""
        return has_trained_tokens(sequences)

    def row(self, sequences: Sequences, record: Record, index: int) -> Row:
        """Return a `PairRow`."""
        chosen, rejected, *gold = sequences
        row: PairRow = {
            "prompt_ids": chosen.ids[: chosen.first_trained],
            "chosen_ids": chosen.ids[chosen.first_trained :],
            "rejected_ids": rejected.ids[rejected.first_trained :],
            "margin": record.margin or 0.0,
            "row": index,
        }
        if gold:
            row["gold_ids"] = gold[0].ids[gold[0].first_trained :]
        trained = {name: switched(part, part.first_trained) for name, part in zip(_SIDES, sequences, strict=False)}
        return {**row, **{f"{name}_trained": switches for name, switches in trained.items() if switches is not None}}

    def finish(self, rows: list[Row]) -> list[Row]:
        """Return the rows as they are."""
        return rows

    def collator(self, pad_token_id: int) -> PairCollator:
        """Return the collator."""
        return PairCollator(pad_token_id)


_SIDES = ("chosen", "rejected", "gold")


def _from(encoded: Encoded, first: int) -> Encoded:
    return Encoded(encoded.ids, [index >= first for index in range(len(encoded.ids))], encoded.weights)


@dataclass(frozen=True, slots=True)
class PairCollator:
    """Batches of preference stages: first every chosen sequence, then every rejected one."""

    pad_token_id: int

    def __call__(self, rows: Sequence[PairRow]) -> dict[str, Tensor]:
        """Return int64 input_ids, attention_mask, labels [2 * pair, time] and rows [pair], float32 margins [pair].

        A sequence is the prompt and a completion; labels are set on its trained tokens. `lines` [2 * pair] is the pair
        of each sequence: they may stand in one line with the prompt once. Where every row has a third
        answer, `gold_input_ids`, `gold_attention_mask` and `gold_labels` [pair, time] hold the prompts with it.
        """
        import torch

        pairs = [(row["prompt_ids"], row["chosen_ids"], row.get("chosen_trained")) for row in rows]
        pairs += [(row["prompt_ids"], row["rejected_ids"], row.get("rejected_trained")) for row in rows]
        batch = self._padded(pairs)
        if all("gold_ids" in row for row in rows):
            gold = self._padded([(row["prompt_ids"], row["gold_ids"], row.get("gold_trained")) for row in rows])
            batch |= {f"gold_{name}": value for name, value in gold.items()}
        return batch | {
            "lines": torch.arange(len(rows)).repeat(2),
            "margins": torch.tensor([row["margin"] for row in rows], dtype=torch.float32),
            "rows": torch.tensor([row["row"] for row in rows], dtype=torch.int64),
        }

    def _padded(self, pairs: Sequence[tuple[list[int], list[int], list[bool] | None]]) -> dict[str, Tensor]:
        return padded(
            [prompt + completion for prompt, completion, _ in pairs],
            [labels_of(*pair) for pair in pairs],
            self.pad_token_id,
        )
