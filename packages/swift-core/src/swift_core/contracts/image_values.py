"""How rows write an image: a path, a URL, `data:` text, base64, bytes, or an object with one of them.

Nothing is opened here: a value becomes an `ImageRef` as the row names it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from swift_core.contracts.images import ImageRef, stamp_of

IMAGE_COLUMNS = ("images", "image")
"""Columns that hold the images of a row, one or a list."""

IMAGE_KEYS = ("bytes", "base64", "path", "url", "image_url", "image")
"""What an object says of an image, by what goes first."""

_DATA_URI = re.compile(r"data:(?P<kind>[^,;]*)(?P<rest>(?:;[^,;]*)*),", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{40,}={0,2}\s*\Z")
_BASE64_STARTS = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "SUkq", "TU0AKg", "Qk")
"""What PNG, JPEG, GIF, WEBP, TIFF (two kinds) and BMP files begin with, in base64."""


def row_images(row: Mapping[str, Any]) -> tuple[ImageRef, ...]:
    """Return the images of a row's columns, as written; raise ValueError when a value is no image."""
    named = [name for name in IMAGE_COLUMNS if row.get(name) not in (None, "", [], ())]
    if len(named) > 1:
        raise ValueError("images stand in the column images and in the column image; keep one of them")
    if not named:
        return ()
    value = row[named[0]]
    if isinstance(value, list | tuple):
        return tuple(image_of(each, f"{named[0]}[{index}]") for index, each in enumerate(value))
    return (image_of(value, named[0]),)


def image_of(value: Any, place: str) -> ImageRef:
    """Return the image that `value` names; `place` is what messages call the value.

    Raises:
        ValueError: It names none.
    """
    if isinstance(value, ImageRef):
        return value
    if isinstance(value, bytes | bytearray | memoryview) and len(value):
        return _of_bytes(bytes(value))
    if isinstance(value, str) and value.strip():
        return _of_text(value.strip(), place)
    if isinstance(value, Mapping):
        for key in IMAGE_KEYS:
            if value.get(key):
                found = value[key]
                told = f"{place}.{key}"
                return _of_bytes(_decoded(found, told)) if key in IMAGE_KEYS[:2] else image_of(found, told)
    what = "an object with none of them" if isinstance(value, Mapping) else _shown(value)
    raise ValueError(
        f"{place} must be an image: a path, a URL, bytes, or an object with {', '.join(IMAGE_KEYS)}; got {what}"
    )


def _of_bytes(data: bytes) -> ImageRef:
    return ImageRef(data=data, stamp=stamp_of(data))


def _of_text(text: str, place: str) -> ImageRef:
    if text.startswith(("http://", "https://")):
        return ImageRef(url=text)
    if text[:5].lower() == "data:":
        return _of_bytes(_of_data_uri(text, place))
    if text.startswith(_BASE64_STARTS) and _BASE64.match(text):
        return _of_bytes(_decoded(text, place))
    if "://" in text[:16]:
        raise ValueError(f"{place} must be a path or an http(s) URL, got {_shown(text)}")
    return ImageRef(path=text)


def _of_data_uri(text: str, place: str) -> bytes:
    match = _DATA_URI.match(text)
    if match is None:
        raise ValueError(f"{place} begins with data: and has no comma before its content")
    if not match["kind"].lower().startswith("image/"):
        raise ValueError(f"{place} must be data:image/..., got data:{match['kind'][:30]}")
    content = text[match.end() :]
    return _decoded(content, place) if ";base64" in match["rest"].lower() else unquote_to_bytes(content)


def _decoded(value: Any, place: str) -> bytes:
    """Return bytes; text is base64, as JSON holds them."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if not isinstance(value, str):
        raise ValueError(f"{place} must be bytes or base64 text, got {_shown(value)}")
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{place} is no base64 text") from None


def _shown(value: Any) -> str:
    shown = repr(value[:60]) if isinstance(value, Sequence) else repr(value)
    return "nothing" if value is None else shown if len(shown) <= 60 else f"{shown[:57]}..."
