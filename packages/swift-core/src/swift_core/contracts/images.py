"""What an image of a row is: a file or bytes, decoded when it is asked for.

The turns of a record hold the mark `<image>` once for each image, in their order. A record without images has no marks:
what reads like one in it is text.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

if TYPE_CHECKING:
    from PIL.Image import Image

MARK = "<image>"
"""Stands in a turn where an image is seen."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may read; its other readers are for formats that nobody stores photographs in, and one runs a program."""

LARGEST_IMAGE = 64 * 2**20
"""Bytes of an image file, at most."""

MAX_PIXELS = 89_478_485
"""Pixels of an image, at most, unless the run file says otherwise; a small file may unpack to gigabytes."""

_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")


class ImageError(ValueError):
    """An image that cannot be had; the text follows its name."""

    def __init__(self, code: str, message: str, next_step: str) -> None:
        """Keep the words."""
        super().__init__(message)
        self.code, self.next_step = code, next_step


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One image of a row. Either a path, bytes, or a URL that is not fetched yet."""

    path: str = ""
    """Of the file; absolute once core has read the row."""

    data: bytes = b""
    """An image file's content."""

    url: str = ""
    """Where the image is from; with a path, it is in that file as soon as it is fetched."""

    stamp: str = ""
    """Changes when the content does: a hash of the bytes, or size and time of the file."""

    max_pixels: int = MAX_PIXELS
    """Width times height, at most."""

    kind: ClassVar[str] = "image"

    @property
    def name(self) -> str:
        """What messages call it."""
        return repr(self.url or self.path) if self.url or self.path else f"of {len(self.data):,} bytes in the row"

    def size(self) -> tuple[int, int]:
        """Return width and height in pixels, as `open` gives them; only the header is read.

        Raises:
            ImageError: There is no image, or it is too large.
        """
        with self._opened() as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION, 1) in _TURNED
            return (height, width) if turned else (width, height)

    def summary(self) -> str:
        """Return the size in words, as previews show it."""
        width, height = self.size()
        return f"{width}x{height}"

    def open(self) -> Image:
        """Return the image in RGB, turned upright by its EXIF data; of a moving one, the first frame.

        Raises:
            ImageError: There is no image, it is damaged, or too large.
        """
        from PIL import ImageOps

        with self._opened() as image:
            return _in_rgb(ImageOps.exif_transpose(image))

    @contextmanager
    def _opened(self) -> Iterator[Image]:
        pillow = _pillow()
        with _file(self) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own limit warns; ours refuses
            try:
                image = pillow.open(file, formats=FORMATS)
                self._check(image.size)
                yield image
            except ImageError:
                raise
            except pillow.DecompressionBombError as error:
                raise ImageError("image-too-large", f"has too many pixels: {error}", "make it smaller") from error
            except pillow.UnidentifiedImageError as error:
                message = f"is no image, or none of {', '.join(FORMATS)}"
                raise ImageError("broken-image", message, "mend or convert the file") from error
            except Exception as error:  # Pillow's readers raise almost anything on damaged bytes
                raise ImageError("broken-image", f"cannot be read: {_reason(error)}", "mend the file") from error

    def _check(self, size: tuple[int, int]) -> None:
        width, height = size
        if width * height > self.max_pixels:
            message = f"has {width} x {height} pixels, and data.max_image_pixels is {self.max_pixels:,}"
            raise ImageError("image-too-large", message, "make it smaller, or raise data.max_image_pixels")

    def as_json(self) -> dict[str, Any]:
        """Return what `image_from_json` makes this image of."""
        kept: dict[str, Any] = {"path": self.path, "url": self.url, "stamp": self.stamp, "max_pixels": self.max_pixels}
        return {**kept, "data": base64.b64encode(self.data).decode()} if self.data else kept


def image_from_json(value: dict[str, Any]) -> ImageRef:
    """Return the image that `as_json` wrote."""
    return ImageRef(**{**value, "data": base64.b64decode(value.get("data", ""))})


def stamp_of(data: bytes) -> str:
    """Return the stamp of bytes."""
    return hashlib.sha256(data).hexdigest()[:32]


@contextmanager
def _file(image: ImageRef) -> Iterator[BinaryIO]:
    """Open what an image is stored in; a device or a pipe, which may never end, is no file."""
    if not image.path:
        yield io.BytesIO(image.data)
        return
    with opened_file(image.path) as file:
        yield file


def opened_file(path: str) -> BinaryIO:
    """Return the opened file; raise ImageError when there is none, or it is a device or a pipe."""
    try:
        opened = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise ImageError("missing-image", f"cannot be opened: {_reason(error)}", "mend the path") from error
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise ImageError("missing-image", "is no file", "name an image file")
    return os.fdopen(opened, "rb")


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        message = "cannot be read without Pillow, which is not installed"
        raise ImageError("missing-library", message, "pip install 'swift-core[vision]'") from error
    return Image


def _in_rgb(image: Image) -> Image:
    if image.mode in _SIXTEEN_BITS:
        image = image.point(lambda value: value / 256).convert("L")  # `convert` alone cuts at 255
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    text = " ".join(str(getattr(error, "strerror", None) or error).split()).rstrip(".")
    return f"{type(error).__name__}: {text[:120]}" if text else type(error).__name__


_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""
