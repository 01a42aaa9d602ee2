"""Messages over pipes: four bytes of length, most significant first, then JSON. Never pickle: reading one runs code."""

from __future__ import annotations

import json
import os
import struct
from typing import Any

HEADER = struct.Struct(">I")


def encoded(message: Any) -> bytes:
    """Return `message` as a frame; TypeError when JSON cannot say it."""
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    return HEADER.pack(len(body)) + body


def write_frame(descriptor: int, message: Any) -> None:
    """Write a message to a blocking pipe."""
    write_all(descriptor, encoded(message))


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data` to a blocking pipe."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read_frame(descriptor: int) -> Any:
    """Return the next message of a blocking pipe; EOFError when the other side has closed it."""
    (length,) = HEADER.unpack(_read(descriptor, HEADER.size))
    return json.loads(_read(descriptor, length))


def _read(descriptor: int, count: int) -> bytes:
    parts = []
    while count:
        part = os.read(descriptor, min(count, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
