"""Batches of rows with images: what the processor makes of them stands beside the tokens, under `vision`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.contracts.images import ImageError
from swift_core.contracts.media import media_of
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from swift_core.assemble.vision.processor import ImageProcessing
    from swift_core.contracts.data import TextEncoder
    from swift_core.contracts.media import Medium

VISION = "vision"
"""Key of a batch under which the model's inputs beside the tokens stand, by the names that the model knows."""

KEYS = "image_keys"
"""Key of a batch under which each sequence has a number for its images, int64 [sequence]; 0 for none."""

_IDS = "input_ids"


@dataclass(frozen=True, slots=True)
class ImageCollator:
    """Makes a batch of rows, some or all of which have images."""

    of_rows: Callable[[Sequence[Any]], dict[str, Any]]
    """Makes a batch of their tokens."""

    processing: ImageProcessing

    def __call__(self, rows: Sequence[Any]) -> dict[str, Any]:
        """Return the batch with `vision`: pixels and what else the model asks for, for all of its sequences in order.

        A batch may hold several groups of sequences (`gold_input_ids`): each has its own (`gold_vision`). A batch of
        pairs holds each row twice, chosen and rejected, and so its images.

        Raises:
            SwiftError: An image cannot be read any more.
        """
        import torch

        batch = self.of_rows(rows)
        images = [media_of(row) for row in rows]
        if not any(images):
            return batch
        keys = [_key(row) for row in rows]
        for name in [name for name in batch if name.endswith(_IDS)]:
            group, times = name.removesuffix(_IDS), len(batch[name]) // len(rows)
            batch[group + VISION] = self._inputs(images * times, batch[name])
            batch[group + KEYS] = torch.tensor(keys * times)
        return batch

    def _inputs(self, images: Sequence[Sequence[Medium]], input_ids: Any) -> dict[str, Any]:
        try:
            return self.processing.inputs(images, input_ids)
        except ImageError as error:
            raise SwiftError(
                Problem(error.code, f"An {self.processing.kind} of a batch {error}.", next_step=error.next_step)
            ) from error


def _key(row: Any) -> int:
    """Return a number that tells the images of a row from others."""
    images = row.get("media")
    if not images:
        return 0
    digest = hashlib.sha256(json.dumps(images, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:7], "big") + 1


def collator_of(of_rows: Callable[[Sequence[Any]], dict[str, Any]], encoder: TextEncoder) -> Callable[..., Any]:
    """Return the collator of a run: of rows that may have images, where the model sees them."""
    processing = getattr(encoder, "processing", None)
    return of_rows if processing is None else ImageCollator(of_rows, processing)
