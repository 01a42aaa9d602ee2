"""Captions: `{"image": ..., "caption": "..."}`, or `text` in place of `caption`; with a `prompt`, what was asked.

The user's turn is the image, behind it the prompt if there is one, and the caption is the assistant's answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from swift_core.builtins.formats import _turns
from swift_core.contracts.data import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swift_core.contracts.data import Message

_OTHERS = (*_turns.OTHER_ANSWERS, "question")
_CAPTIONS = ("caption", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """An image and what is seen on it, which is trained."""

    columns: ClassVar[tuple[str, ...]] = (*_CAPTIONS, "prompt", "system")
    evidence: ClassVar[str] = "image and caption"

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Say whether `row` has an image and one text about it."""
        return _turns.has_image(row) and _turns.is_captioned(row) and _turns.lacks(row, *_OTHERS)

    def record(self, row: Mapping[str, Any], where: str) -> Record:
        """Return the image as prompt and the caption as completion."""
        given = [name for name in _CAPTIONS if row.get(name) is not None]
        if len(given) != 1:
            raise ValueError("a caption stands in the column caption or in the column text; keep one of them")
        if isinstance(row[given[0]], list | tuple):
            raise ValueError(f"{given[0]} must be one text; of an image with several, make several rows")
        caption = _turns.text(row, given[0])
        if not caption.strip():
            raise ValueError(f"{given[0]} is empty")
        asked = _turns.text(row, "prompt") if row.get("prompt") is not None else ""
        turns = [{"role": "user", "content": asked}]
        if row.get("system"):
            turns.insert(0, {"role": "system", "content": _turns.text(row, "system")})
        return Record(
            where=where,
            prompt=cast("list[Message]", turns),
            completion=[{"role": "assistant", "content": caption}],
            columns=dict(row),
        )
