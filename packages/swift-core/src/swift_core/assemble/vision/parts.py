"""Turns in parts: what chat templates of models that see images take for a turn's content."""

from __future__ import annotations

from typing import Any

from swift_core.contracts.images import MARK


def as_parts(content: str) -> list[dict[str, Any]]:
    """Return a turn's content as parts of the types `text` and `image`, one image for each mark."""
    parts: list[dict[str, Any]] = []
    for number, text in enumerate(content.split(MARK)):
        if number:
            parts.append({"type": "image"})
        if text:
            parts.append({"type": "text", "text": text})
    return parts or [{"type": "text", "text": ""}]
