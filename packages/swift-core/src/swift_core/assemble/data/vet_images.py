"""The last look at images before training: those on servers are fetched, and every header is read."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.addresses import Allowed
from swift_core.assemble.data.image_urls import fetch
from swift_core.assemble.data.images import stamp
from swift_core.assemble.data.media import modalities_of
from swift_core.assemble.data.rows import Item, Mistakes
from swift_core.assemble.vision.rows import FRAMES
from swift_core.contracts.images import ImageError, ImageRef

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from swift_core.assemble.data.read import RunData
    from swift_core.contracts.handover import RunPlan
    from swift_core.contracts.sounds import SoundRef

_WORDS = {"image": "images", "video": "videos", "audio": "audio"}


def require_modalities(items: Iterable[Item], supported: Collection[str], reader: str) -> None:
    """Raise SwiftError with the rows that have what a model cannot take in.

    Args:
        items: Rows.
        supported: Of `image`, `video` and `audio`, what the model's processor takes.
        reader: Whose processor, in messages.
    """
    mistakes = Mistakes()
    for item in items:
        for modality in modalities_of(item.record):
            if modality not in supported:
                takes = ", ".join(["text", *(_WORDS[each] for each in sorted(supported))])
                message = f"The row has {_WORDS[modality]}, and {reader} takes {takes}."
                step = f"remove the column, or name a model that takes {_WORDS[modality]}"
                step = FRAMES if modality == "video" else step
                mistakes.add("unsupported-modality", message, item.row.place, step)
    mistakes.raise_any()


def vetted(plan: RunPlan, data: RunData) -> RunData:
    """Return `data` with all its images at hand; what is not decodable by its header is told here.

    Raises:
        SwiftError: Every row whose images cannot be fetched, are damaged, or too large.
    """
    urls = {image.url for item in chain(data.train, data.held_out) for image in item.record.images if image.url}
    if urls:
        allowed = plan.settings.data.allow_image_urls
        failures = fetch(urls, Allowed.of([] if isinstance(allowed, bool) else allowed))
    else:
        failures = {}
    mistakes = Mistakes()
    for item in chain(data.train, data.held_out):
        for image in item.record.images:
            _look(image, item, failures.get(image.url, ""), mistakes)
        for sound in item.record.audios:
            _listen(sound, item, mistakes)
    mistakes.raise_any()
    if not urls:
        return data
    train = [_stamped(item) for item in data.train] if isinstance(data.train, list) else data.train
    return replace(data, train=train, held_out=[_stamped(item) for item in data.held_out])


def _look(image: ImageRef, item: Item, failure: str, mistakes: Mistakes) -> None:
    if failure:
        step = "mend the URL, or fetch the image yourself and name the file"
        mistakes.add("image-unavailable", f"The image {image.name} {failure}.", item.row.place, step)
        return
    try:
        image.size()
    except ImageError as error:
        mistakes.add(error.code, f"The image {image.name} {error}.", item.row.place, error.next_step)


def _listen(sound: SoundRef, item: Item, mistakes: Mistakes) -> None:
    try:
        sound.seconds()
    except ImageError as error:
        mistakes.add(error.code, f"The sound {sound.name} {error}.", item.row.place, error.next_step)


def _stamped(item: Item) -> Item:
    images = [replace(each, stamp=stamp(Path(each.path))) if each.url else each for each in item.record.images]
    return replace(item, record=replace(item.record, images=tuple(images)))
