"""What a row has beside text: images or sounds, kept with its tokens under `media` and decoded in a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.contracts.images import ImageRef, image_from_json
from swift_core.contracts.sounds import SoundRef, sound_from_json

if TYPE_CHECKING:
    from collections.abc import Mapping

Medium = ImageRef | SoundRef

_READERS = {ImageRef.kind: image_from_json, SoundRef.kind: sound_from_json}


def media_of(row: Mapping[str, Any]) -> list[Any]:
    """Return the images or sounds of an encoded row; none where it has none."""
    return [_READERS[kind](value) for each in row.get("media", ()) for kind, value in each.items()]


def media_as_json(media: tuple[ImageRef, ...] | tuple[SoundRef, ...]) -> list[dict[str, Any]]:
    """Return what `media_of` reads from an encoded row."""
    return [{each.kind: each.as_json()} for each in media]
