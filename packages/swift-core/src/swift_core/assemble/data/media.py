"""What a row has beside text, by its columns, whatever its format: images, videos and audio."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from swift_core.contracts.image_values import IMAGE_COLUMNS, row_images
from swift_core.contracts.sounds import SOUND_COLUMNS, row_sounds

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from swift_core.contracts.data import Record

VIDEO_COLUMNS = ("videos", "video")
COLUMNS = (*IMAGE_COLUMNS, *VIDEO_COLUMNS, *SOUND_COLUMNS, "objects")
"""Columns that hold what a row has beside text; `data.columns` may rename others to them."""


def with_media(record: Record, row: Mapping[str, Any]) -> Record:
    """Return `record` with the images, videos and audio of the row's columns, where its format gave none.

    Raises:
        ValueError: A value is no image, or no sound.
    """
    images = record.images or row_images(row)
    videos = record.videos or _named(row, VIDEO_COLUMNS)
    audios = record.audios or row_sounds(row)
    objects = record.objects or boxes_of(row)
    if images or videos or audios or objects:
        return replace(record, images=images, videos=videos, audios=audios, objects=objects)
    return record


def modalities_of(record: Record) -> tuple[str, ...]:
    """Return what a row has beside text."""
    has = {"image": record.images, "video": record.videos, "audio": record.audios}
    return tuple(name for name, values in has.items() if values)


def boxes_of(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the column `objects` where it holds things or boxes, as an object or JSON text."""
    value = row.get("objects")
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"objects is not valid JSON: {error}") from error
    if not isinstance(value, dict) or not ("ref" in value or "bbox" in value):
        return None
    return {key: each for key, each in value.items() if each is not None}


def has_media_column(renamed: Mapping[str, str], columns: Collection[str]) -> bool:
    """Say whether a data set has a column for images; `renamed` is `data.columns`."""
    return any(name in columns or renamed.get(name) in columns for name in IMAGE_COLUMNS)


def _named(row: Mapping[str, Any], columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a row names, as text; nothing is opened."""
    values = [row[name] for name in columns if row.get(name)]
    flat = [each for value in values for each in (value if isinstance(value, list | tuple) else [value])]
    return tuple(str(each)[:200] for each in flat)
