"""Rows with images: which encoder reads one, what is kept of its images, and what cannot be done with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from swift_core.assemble.spans import RowMistake
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.assemble.data.encode import Stage
    from swift_core.assemble.data.rows import Item
    from swift_core.contracts.data import Record, TextEncoder
    from swift_core.contracts.handover import Parts, RunPlan
    from swift_core.contracts.images import ImageRef

INSTALL = "pip install 'swift-core[vision]'"


@runtime_checkable
class SeesImages(Protocol):
    """An encoder of a model that sees images."""

    def with_images(self, images: Sequence[ImageRef]) -> Any:
        """Return the encoder of one row."""


def encoder_of(encoder: TextEncoder, record: Record, stage: Stage) -> tuple[TextEncoder, Callable[[], frozenset[int]]]:
    """Return the encoder of one record, and what returns the tokens that its images consist of.

    Raises:
        RowMistake: The record has images, and the model or the stage has no place for them.
    """
    if record.images and not getattr(stage.kind, "reads_images", False):
        raise RowMistake(
            "stage-reads-no-images",
            f"The row has images, and stage {stage.name} reads text alone.",
            "train on images in the stages sft, dpo or kto, or remove the images",
        )
    if isinstance(encoder, SeesImages):
        row: Any = encoder.with_images(record.images)
        return row, lambda: row.image_ids
    if record.images:
        raise RowMistake(
            "model-sees-no-images",
            "The row has images, and the model reads text alone: its configuration has no vision part.",
            "name a model that sees images (model.model_id), or remove the images",
        )
    return encoder, frozenset


def encoder_of_row(encoder: TextEncoder, images: Sequence[ImageRef]) -> TextEncoder:
    """Return the encoder of a prompt with `images`, of which there may be none."""
    row: Any = encoder.with_images(images) if isinstance(encoder, SeesImages) else encoder
    return cast("TextEncoder", row)


def images_of_prompts(
    encoder: TextEncoder, images: Sequence[Sequence[ImageRef]]
) -> Callable[[Tensor], Mapping[str, Tensor]] | None:
    """Return what makes a model's inputs of the images of prompts, given their tokens; None when there are none."""
    processing = getattr(encoder, "processing", None)
    if processing is None or not any(images):
        return None
    return partial(processing.inputs, images)


def with_images(row: dict[str, Any], record: Record) -> dict[str, Any]:
    """Return an encoded row with its images; they are decoded when they stand in a batch."""
    return {**row, "images": [image.as_json() for image in record.images]} if record.images else row


def telling_row(parts: Parts) -> Any:
    """Return a training row to try the model on: the first with images, where there are any."""
    dataset = parts.train_dataset
    if not parts.facts.get("rows_with_images"):
        return dataset[0]
    return next(dataset[index] for index in range(len(dataset)) if "images" in dataset[index])


def has_images(items: Iterable[Item]) -> bool:
    """Say whether a row has images."""
    return any(item.record.images for item in items)


def lengths_with_images(plan: RunPlan) -> str:
    """Return why lengths are not known before the processor is there.

    Raises:
        SwiftError: What reads images is not installed.
    """
    import importlib.util

    if importlib.util.find_spec("PIL") is None:
        message = "rows have images, which Pillow reads, and it is not installed."
        raise SwiftError(Problem("missing-library", message, plan.config.place("data.dataset"), INSTALL))
    return "rows have images, whose tokens the model's processor makes: swift preview counts them, and training does"


def image_cut(needed: int, length: int, max_length: int) -> RowMistake:
    """Return the mistake of a row whose images reach behind the length limit."""
    return RowMistake(
        "image-cut",
        f"The row has {length:,} tokens, and its images reach to token {needed:,}: cut to data.max_length, "
        f"{max_length:,} tokens, it would lose one or a part of one.",
        f"set data.max_length to {needed:,} or more, make the image smaller, or write overlong: drop",
    )
