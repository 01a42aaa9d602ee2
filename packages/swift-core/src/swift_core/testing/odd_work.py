"""Work for pools under test, which answers, or does what workers must survive. Standard library only."""

from __future__ import annotations

import ctypes
import os
import time
from typing import Any


class OddWork:
    """Answers an item with itself, or does what a list says: `["hang"]`, `["fail", "why"]`, ..."""

    def __init__(self, options: Any) -> None:
        """Take the options, which `info` shows."""
        self.info = {"options": options}
        self._calls = 0

    def __call__(self, item: Any) -> Any:
        """Return the answer to one item."""
        self._calls += 1
        return getattr(self, item[0])(*item[1:]) if isinstance(item, list) else item

    def count(self) -> int:
        """Return how many items this process was given."""
        return self._calls

    def sleep(self, seconds: float) -> float:
        """Take so many seconds."""
        time.sleep(seconds)
        return seconds

    def crash(self) -> None:
        """Read where nothing is."""
        ctypes.string_at(0)

    def leave(self) -> None:
        """End the process."""
        os._exit(3)

    def fill(self, size: int) -> int:
        """Take so many bytes of memory."""
        return len(bytearray(size))

    def flood(self, size: int) -> str:
        """Answer at length."""
        return "x" * size

    def fail(self, text: str) -> None:
        """Raise an error."""
        raise KeyError(text)

    def read(self, path: str) -> str:
        """Read a file that it should not."""
        with open(path, encoding="utf-8") as file:
            return file.read()


def make(options: Any) -> OddWork:
    """Return what answers."""
    return OddWork(options)
