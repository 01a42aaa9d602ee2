"""Rows of the stage clip: an image with its text."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, cast

from swift_core.assemble.kinds.heads import padded_ids
from swift_core.assemble.kinds.kind import Judgement
from swift_core.assemble.spans import RowMistake
from swift_core.assemble.template import Encoded
from swift_core.contracts.images import MARK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from swift_core.assemble.kinds.kind import Row, Sequences
    from swift_core.contracts.data import Record, TextEncoder


class ImageTextRow(TypedDict):
    """A row of the stage clip; its image stands under `images`."""

    input_ids: list[int]
    keys: list[int]
    """Of the image and of the text: equal ones have equal keys."""

    row: int


@dataclass(frozen=True, slots=True)
class Closed(Encoded):
    """A text whose last token, which the model reads it at, stays when it is cut."""

    def cut(self, length: int) -> Closed:
        """Return the first tokens and the last, `length` of them."""
        return replace(self, ids=[*self.ids[: length - 1], *self.ids[-1:]], trained=self.trained[:length])


@dataclass(slots=True)
class ImageTexts:
    """An image with its text."""

    needs: ClassVar[str] = "an image with a text"
    reads_images: ClassVar[bool] = True

    def sequences(self, encoder: TextEncoder, record: Record, *, whole: bool) -> Sequences | None:
        """Return the text as the model's tokenizer closes it."""
        text = text_of(record)
        if text is None:
            return None
        if len(record.images) != 1:
            message = f"The row has {len(record.images)} images, and a text is learned with one."
            raise RowMistake("several-images", message, "write one row for each image")
        ids = cast("Any", encoder).closed(text)
        return (Closed(ids, [False] * len(ids)),)

    def is_trainable(self, sequences: Sequences) -> bool:
        """Say whether there is a token to read the text from."""
        return bool(sequences[0].ids)

    def row(self, sequences: Sequences, record: Record, index: int) -> Row:
        """Return an `ImageTextRow`."""
        image = record.images[0]
        content = image.stamp + ("" if image.data else image.path)
        keys = [_key(content), _key(text_of(record) or "")]
        row: ImageTextRow = {"input_ids": sequences[0].ids, "keys": keys, "row": index}
        return dict(row)

    def finish(self, rows: list[Row]) -> list[Row]:
        """Return the rows as they are."""
        return rows

    def judge(
        self, rows: Sequence[Row], records: Sequence[Record], loss: Mapping[str, Any], *, trained: bool
    ) -> Judgement:
        """Say how many rows share an image or a text."""
        notes = []
        for place, word in enumerate(("an image", "a text")):
            counts = Counter(row["keys"][place] for row in rows)
            shared = sum(count for count in counts.values() if count > 1)
            if shared and trained:
                notes.append(
                    f"{shared:,} of {len(rows):,} rows share {word}: in one step each counts as wrong for another"
                )
        return Judgement([], notes)

    def collator(self, pad_token_id: int) -> ImageTextCollator:
        """Return the collator."""
        return ImageTextCollator(pad_token_id)


def text_of(record: Record) -> str | None:
    """Return the text of an image: an answer to nothing but the image; None of other rows."""
    prompt, answer = record.prompt, record.completion
    if prompt is None or answer is None:
        return None
    turns = [prompt] if isinstance(prompt, str) else [turn["content"] for turn in prompt]
    answers = [answer] if isinstance(answer, str) else [turn["content"] for turn in answer]
    asks = any(text.replace(MARK, "").strip() for text in turns)
    return None if asks or len(answers) != 1 or not answers[0].strip() else answers[0]


def _key(content: str) -> int:
    return int.from_bytes(hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest()[:7], "big")


@dataclass(frozen=True, slots=True)
class ImageTextCollator:
    """Batches of the stage clip."""

    pad_token_id: int

    def __call__(self, rows: Sequence[ImageTextRow]) -> dict[str, Tensor]:
        """Return input_ids and attention_mask, int64 [pair, time], labels (the keys), [pair, 2], and rows, [pair]."""
        import torch

        return padded_ids([row["input_ids"] for row in rows], self.pad_token_id) | {
            "labels": torch.tensor([row["keys"] for row in rows]),
            "rows": torch.tensor([row["row"] for row in rows]),
        }
