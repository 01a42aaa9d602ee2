"""Rows with images or sounds: which encoder reads one, what is kept of them, and what cannot be done with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from swift_core.assemble.spans import RowMistake
from swift_core.contracts.media import media_as_json
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.assemble.data.encode import Stage
    from swift_core.assemble.data.rows import Item
    from swift_core.contracts.data import Record, TextEncoder
    from swift_core.contracts.handover import Parts, RunPlan
    from swift_core.contracts.media import Medium

INSTALL = "pip install 'swift-core[vision]'"

NO_VIDEOS = (
    "no video is read: what transformers reads videos with needs torchvision, whose builds are bound to one of torch"
)
FRAMES = "give frames of it in the column images, with <image> for each, or remove the column"


@runtime_checkable
class SeesImages(Protocol):
    """An encoder of a model that sees images."""

    def with_images(self, images: Sequence[Any]) -> Any:
        """Return the encoder of one row."""


def encoder_of(encoder: TextEncoder, record: Record, stage: Stage) -> tuple[TextEncoder, Callable[[], frozenset[int]]]:
    """Return the encoder of one record, and what returns the tokens that its images consist of.

    Raises:
        RowMistake: The record has images, and the model or the stage has no place for them.
    """
    if record.videos:
        raise RowMistake("no-videos", f"The row has videos, and {NO_VIDEOS}.", FRAMES)
    what = "images" if record.images else "audio"
    if record.media and not getattr(stage.kind, "reads_images", False):
        raise RowMistake(
            f"stage-reads-no-{what}",
            f"The row has {what}, and stage {stage.name} reads text alone.",
            f"train on {what} in the stages sft, dpo or kto, or remove the {what}",
        )
    if isinstance(encoder, SeesImages):
        row: Any = encoder.with_images(record.media)
        return row, lambda: row.image_ids
    if record.media:
        part, verb = ("vision", "sees images") if record.images else ("audio", "hears")
        raise RowMistake(
            f"model-{verb.split()[0]}-no-{what}",
            f"The row has {what}, and the model reads text alone: its configuration has no {part} part.",
            f"name a model that {verb} (model.model_id), or remove the {what}",
        )
    return encoder, frozenset


def encoder_of_row(encoder: TextEncoder, images: Sequence[Medium]) -> TextEncoder:
    """Return the encoder of a prompt with `images`, of which there may be none."""
    row: Any = encoder.with_images(images) if isinstance(encoder, SeesImages) else encoder
    return cast("TextEncoder", row)


def images_of_prompts(
    encoder: TextEncoder, images: Sequence[Sequence[Medium]]
) -> Callable[[Tensor], Mapping[str, Tensor]] | None:
    """Return what makes a model's inputs of the images of prompts, given their tokens; None when there are none."""
    processing = getattr(encoder, "processing", None)
    if processing is None or not any(images):
        return None
    return partial(processing.inputs, images)


def with_images(row: dict[str, Any], record: Record) -> dict[str, Any]:
    """Return an encoded row with its images; they are decoded when they stand in a batch."""
    return {**row, "media": media_as_json(record.media)} if record.media else row


def telling_row(parts: Parts) -> Any:
    """Return a training row to try the model on: the first with images, where there are any."""
    dataset = parts.train_dataset
    if not parts.facts.get("rows_with_media"):
        return dataset[0]
    return next(dataset[index] for index in range(len(dataset)) if "media" in dataset[index])


def has_images(items: Iterable[Item]) -> bool:
    """Say whether a row has images."""
    return any(item.record.media for item in items)


def lengths_with_images(plan: RunPlan, takes: Sequence[str] = ("image",)) -> str:
    """Return why lengths are not known before the processor is there.

    Raises:
        SwiftError: What reads images is not installed.
    """
    import importlib.util

    if "image" in takes and importlib.util.find_spec("PIL") is None:
        message = "rows have images, which Pillow reads, and it is not installed."
        raise SwiftError(Problem("missing-library", message, plan.config.place("data.dataset"), INSTALL))
    what = "images" if "image" in takes else "sounds"
    return f"rows have {what}, whose tokens the model's processor makes: swift preview counts them, and training does"


def image_cut(needed: int, length: int, max_length: int) -> RowMistake:
    """Return the mistake of a row whose images reach behind the length limit."""
    return RowMistake(
        "image-cut",
        f"The row has {length:,} tokens, and its images reach to token {needed:,}: cut to data.max_length, "
        f"{max_length:,} tokens, it would lose one or a part of one.",
        f"set data.max_length to {needed:,} or more, make the image smaller, or write overlong: drop",
    )
