"""The images of a row, from what the row names to files that are there, and to one mark `<image>` for each.

Files are looked at, not decoded: their first bytes tell an image. A local data file may name any file; a data set from
elsewhere may not, or a stranger's rows would read files of this machine.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from swift_core.addresses import Allowed
from swift_core.assemble.data.image_urls import cached_path, require_image_url
from swift_core.contracts.images import LARGEST_IMAGE, MARK, ImageError, ImageRef

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from swift_core.contracts.data import Message, Record
    from swift_core.contracts.handover import RunPlan

_STARTS = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|BM|II\*\0|MM\0\*|II\+\0|MM\0\+|P[1-6]\s", re.DOTALL
)
_SHARED = ("prompt", "text", "completion")
"""Parts of a record whose turns may hold images, in their order."""

_COMPARED = ("chosen", "rejected", "reference")


@dataclass(frozen=True, slots=True)
class ImageRules:
    """Which images the rows of a data set may name."""

    folder: Path | None
    """Where relative paths start; None: the rows are from elsewhere, and name no files of this machine."""

    is_local: bool
    """Whether the data is a file of this machine, whose rows may name files anywhere."""

    own: tuple[Path, ...]
    """Folders with files that were downloaded with the data."""

    urls: bool
    hosts: Allowed
    max_pixels: int


def rules_of(plan: RunPlan, folder: Path | None, own: Sequence[Path] = ()) -> ImageRules:
    """Return what `plan` allows the rows of a data set in `folder`; None: it is from elsewhere."""
    data = plan.settings.data
    given = plan.config.path.parent / Path(data.image_folder).expanduser() if data.image_folder else None
    hosts = [] if isinstance(data.allow_image_urls, bool) else data.allow_image_urls
    return ImageRules(
        folder=given or folder,
        is_local=folder is not None,
        own=tuple(own),
        urls=bool(data.allow_image_urls),
        hosts=Allowed.of(hosts),
        max_pixels=data.max_image_pixels,
    )


@dataclass(slots=True)
class RowImages:
    """Finds the images of rows, and counts what it did."""

    rules: ImageRules
    has_column: bool = False
    """Whether the data set has a column for images; in one without, `<image>` is text like any other."""

    counts: Counter[str] = field(default_factory=Counter)

    def found(self, record: Record) -> Record:
        """Return `record` with its images found and marked; raise ImageError."""
        record, slots = _unmarked(record)
        if not slots and not record.images:
            return record
        if not record.images and not self.has_column and not any(slots):
            return record
        record = self._placed(record, slots)
        images = tuple(self._named(image) for image in record.images)
        self.counts["rows"] += 1
        self.counts["images"] += len(images)
        if any(image.data for image in images):
            record = replace(record, columns={name: as_text(value) for name, value in record.columns.items()})
        return replace(record, images=images)

    def _placed(self, record: Record, slots: Sequence[ImageRef | None]) -> Record:
        """Return the record with one image for each mark; images without any mark stand before the first question."""
        _refuse_answers(record)
        given = iter(record.images)
        num_open = sum(slot is None for slot in slots)
        if not slots:
            self.counts["placed"] += 1
            marked = with_marks(record, MARK * len(record.images))
            if marked is None:
                raise _disagree(len(record.images), 0)
            return marked
        if num_open != len(record.images):
            raise _disagree(len(record.images) + len(slots) - num_open, len(slots))
        return replace(record, images=tuple(next(given) if slot is None else slot for slot in slots))

    def _named(self, image: ImageRef) -> ImageRef:
        try:
            return self._image(image)
        except ImageError as error:
            raise ImageError(error.code, f"the image {image.name} {error}", error.next_step) from error

    def _image(self, image: ImageRef) -> ImageRef:
        image = replace(image, max_pixels=self.rules.max_pixels)
        if image.url:
            require_image_url(image.url, allowed=self.rules.urls, hosts=self.rules.hosts)
            path = cached_path(image.url)
            return replace(image, path=str(path), stamp=stamp(path) if path.is_file() else "")
        if image.path:
            return self._file(image)
        if len(image.data) > LARGEST_IMAGE:
            raise ImageError("image-too-large", f"has more than {LARGEST_IMAGE} bytes", "make it smaller")
        _require_image(image.data[:16])
        return image

    def _file(self, image: ImageRef) -> ImageRef:
        path = allowed_path(self.rules, image.path, self.counts)
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):
                raise ImageError("missing-image", f"is no file ({path})", "name an image file")
            if found.st_size > LARGEST_IMAGE:
                raise ImageError("image-too-large", f"has more than {LARGEST_IMAGE} bytes", "make it smaller")
            with path.open("rb") as file:
                _require_image(file.read(16))
        except (OSError, ValueError) as error:
            if isinstance(error, ImageError):
                raise
            reason = getattr(error, "strerror", None) or error
            step = f"mend the path; paths start from {self.rules.folder} (data.image_folder changes it)"
            raise ImageError("missing-image", f"cannot be read: {reason} ({path})", step) from error
        return replace(image, path=str(path), stamp=stamp(path))


def allowed_path(rules: ImageRules, written: str, counts: Counter[str]) -> Path:
    """Return the path of a file that a row may name; count those outside the folder of the data.

    Raises:
        ImageError: It is a file of this machine, and the row is from elsewhere.
    """
    path = Path(os.path.normpath((rules.folder or Path("/")) / written))
    if rules.is_local:
        counts["outside"] += rules.folder not in path.parents
        return path.absolute()
    inside = [*rules.own, *([rules.folder] if rules.folder else [])]
    real = Path(os.path.realpath(path))
    if not any(Path(os.path.realpath(folder)) in real.parents for folder in inside):
        raise ImageError(
            "image-refused",
            "is a file of this machine, and the row is from a data set that is not",
            "use rows that hold the bytes, or give the images' folder as data.image_folder",
        )
    return real


def image_notes(name: str, counts: Counter[str], num_rows: int) -> tuple[str, ...]:
    """Return what is to be told of the images of a data set."""
    if not counts["images"]:
        return ()
    told = f"{name}: {counts['images']:,} images in {counts['rows']:,} of {num_rows:,} rows"
    if counts["placed"]:
        told += f"; {counts['placed']:,} rows have no {MARK}, and theirs stand before the first question"
    if counts["outside"]:
        told += f"; {counts['outside']:,} are files outside the folder of the data"
    return (told,)


def _unmarked(record: Record) -> tuple[Record, list[ImageRef | None]]:
    """Return the record without images in turns, and one slot for each mark: its image, or None for the next one."""
    slots: list[ImageRef | None] = []
    changed: dict[str, Any] = {}
    for name in (*_SHARED, *_COMPARED):
        side = getattr(record, name)
        if side is None or isinstance(side, str):
            if name in _SHARED:
                slots += [None] * (side or "").count(MARK)
            continue
        for turn in side:
            inline = turn.get("images")
            if inline is not None and len(inline) != turn["content"].count(MARK):
                raise ImageError("image-marks", f"the text of a turn with images holds {MARK} as well", "remove it")
            if name in _SHARED:
                slots += [None] * turn["content"].count(MARK) if inline is None else inline
        if any("images" in turn for turn in side):
            changed[name] = [{key: value for key, value in turn.items() if key != "images"} for turn in side]
    return (replace(record, **changed) if changed else record), slots


def with_marks(record: Record, marks: str) -> Record | None:
    """Return the record with `marks` before its first question; None where it has none."""
    prompt = record.prompt
    if isinstance(prompt, str):
        return replace(record, prompt=marks + prompt)
    first = next((index for index, turn in enumerate(prompt or ()) if turn["role"] == "user"), None)
    if prompt is None or first is None:
        return None
    turn = cast("Message", {**prompt[first], "content": marks + prompt[first]["content"]})
    return replace(record, prompt=[*prompt[:first], turn, *prompt[first + 1 :]])


def _refuse_answers(record: Record) -> None:
    for name in _COMPARED:
        if any(MARK in text for text in texts_of(getattr(record, name))):
            message = f"images stand in the prompt where answers are compared, and the {name} answer has {MARK}"
            raise ImageError("image-marks", message, "move it to the prompt")


def texts_of(side: Any) -> Iterator[str]:
    """Yield the texts of a part of a record: of its turns, or itself."""
    if isinstance(side, str):
        yield side
    elif side is not None:
        yield from (turn["content"] for turn in side)


def as_text(value: Any) -> Any:
    """Return a column as rewards and reports may read it: bytes are counted and not shown."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value):,} bytes"
    if isinstance(value, dict):
        return {key: as_text(each) for key, each in value.items()}
    return [as_text(each) for each in value] if isinstance(value, list | tuple) else value


def _disagree(num_images: int, num_marks: int) -> ImageError:
    images = "1 image" if num_images == 1 else f"{num_images} images"
    marks = f"{MARK} once" if num_marks == 1 else f"{MARK} {num_marks} times"
    return ImageError(
        "image-marks", f"the row has {images}, and {marks} in its text", f"write {MARK} once for each image"
    )


def _require_image(start: bytes) -> None:
    if not start:
        raise ImageError("broken-image", "is empty", "mend the file")
    if not _STARTS.match(start):
        message = "is no image: it does not begin as PNG, JPEG, WEBP, GIF, BMP, TIFF and PPM files do"
        raise ImageError("broken-image", message, "mend or convert the file")


def stamp(path: Path) -> str:
    """Return the stamp of a file."""
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns}"
