"""Rows of the stage prm: a problem with the steps of a solution, each scored at its last token.

Steps are tokenised one by one, each with the separator after it, so that a step's score never sees the next step and
its last token is the separator's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

from swift_core.assemble.kinds.heads import UNLABELLED, named, padded_ids, plain_ids, rendered
from swift_core.assemble.kinds.kind import Judgement
from swift_core.assemble.spans import RowMistake
from swift_core.assemble.template import Encoded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from swift_core.assemble.kinds.kind import Row, Sequences
    from swift_core.contracts.data import Message, Record, TextEncoder
    from swift_core.contracts.handover import RunPlan

WRONG, RIGHT = "wrong", "right"


class StepRow(TypedDict):
    """A row of the stage prm."""

    input_ids: list[int]
    labels: list[float]
    """How right the step is that ends at a token, in [0, 1]; -100 at every other token."""

    row: int


@dataclass(slots=True)
class StepRows:
    """A problem with labelled steps."""

    needs: ClassVar[str] = "a prompt with steps and their labels"
    separator: str = "\n"
    last_step_only: bool = False

    def begin(self, records: Sequence[Record], plan: RunPlan) -> None:
        """Take the settings of steps."""
        self.separator = plan.settings.data.step_separator
        self.last_step_only = plan.settings.data.train_on_last_step_only

    def head_config(self) -> dict[str, Any]:
        """Return a head that tells wrong from right."""
        return named([WRONG, RIGHT])

    def sequences(self, encoder: TextEncoder, record: Record, *, whole: bool) -> Sequences | None:
        """Return the prompt with its steps; the last token of each labelled step is scored."""
        if record.prompt is None or not record.steps or record.step_labels is None:
            return None
        ids, ends = encode_steps(encoder, record.prompt, record.steps, self.separator, tools=record.tools)
        scored = set(self._labelled(ends, record.step_labels))
        return (Encoded(ids, [index in scored for index in range(len(ids))]),)

    def _labelled(self, ends: Sequence[int], labels: Sequence[float | None]) -> dict[int, float]:
        """Return token -> label of the steps that are trained."""
        found = {end: label for end, label in zip(ends, labels, strict=True) if label is not None}
        return dict(list(found.items())[-1:]) if self.last_step_only else found

    def is_trainable(self, sequences: Sequences) -> bool:
        """Say whether a step is labelled and was not cut off."""
        return any(sequences[0].trained)

    def row(self, sequences: Sequences, record: Record, index: int) -> Row:
        """Return a `StepRow`."""
        (part,) = sequences
        labels = [label for label in record.step_labels or () if label is not None]
        values = iter(labels[-1:] if self.last_step_only else labels)
        row: StepRow = {
            "input_ids": part.ids,
            "labels": [next(values) if scored else UNLABELLED for scored in part.trained],
            "row": index,
        }
        return dict(row)

    def finish(self, rows: list[Row]) -> list[Row]:
        """Return the rows as they are."""
        return rows

    def judge(
        self, rows: Sequence[Row], records: Sequence[Record], loss: Mapping[str, Any], *, trained: bool
    ) -> Judgement:
        """Count the labelled steps and how right they are."""
        labels = [label for row in rows for label in row["labels"] if label != UNLABELLED]
        share = sum(labels) / max(len(labels), 1)
        return Judgement([], [f"{len(labels):,} labelled steps, {share:.0%} of them right"])

    def collator(self, pad_token_id: int) -> StepCollator:
        """Return the collator."""
        return StepCollator(pad_token_id)


def encode_steps(
    encoder: TextEncoder,
    prompt: str | Sequence[Message],
    steps: Sequence[str],
    separator: str,
    *,
    tools: Sequence[Any] = (),
) -> tuple[list[int], list[int]]:
    """Return the tokens of a prompt with steps, and the index of the last token of each step.

    The prompt is plain text as it stands, or a conversation as the template writes it before an answer.

    Raises:
        RowMistake: A step has no tokens, or the template refuses the prompt.
    """
    if isinstance(prompt, str):
        ids = plain_ids(encoder, prompt, end=False)
    else:
        ids = encoder.encode(rendered(encoder, prompt, tools=tools, add_generation_prompt=True))
    after, ends = encoder.encode(separator), []
    for number, step in enumerate(steps, start=1):
        tokens = [*encoder.encode(step), *after]
        if not tokens:
            raise RowMistake("empty-step", f"Step {number} is empty, and so is data.step_separator.", "remove the step")
        ids = [*ids, *tokens]
        ends.append(len(ids) - 1)
    return ids, ends


@dataclass(frozen=True, slots=True)
class StepCollator:
    """Batches of the stage prm."""

    pad_token_id: int

    def __call__(self, rows: Sequence[StepRow]) -> dict[str, Tensor]:
        """Return input_ids and attention_mask, int64, labels, float32, all [batch, time], and rows, int64 [batch]."""
        import torch

        batch = padded_ids([row["input_ids"] for row in rows], self.pad_token_id)
        time = batch["input_ids"].shape[1]
        labels = [row["labels"] + [UNLABELLED] * (time - len(row["labels"])) for row in rows]
        return batch | {
            "labels": torch.tensor(labels, dtype=torch.float32),
            "rows": torch.tensor([row["row"] for row in rows], dtype=torch.int64),
        }
