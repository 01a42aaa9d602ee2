"""Turns in parts: what chat templates of models that see images take for a turn's content."""

from __future__ import annotations

from typing import Any


def as_parts(content: str, mark: str, kind: str) -> list[dict[str, Any]]:
    """Return a turn's content as parts of the types `text` and `kind` (`image`, `audio`), one for each mark."""
    parts: list[dict[str, Any]] = []
    for number, text in enumerate(content.split(mark)):
        if number:
            parts.append({"type": kind})
        if text:
            parts.append({"type": "text", "text": text})
    return parts or [{"type": "text", "text": ""}]
