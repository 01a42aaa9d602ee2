"""Plain text: `{"text": "..."}`. All of it is trained; no chat template applies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.builtins.formats import _turns
from swift_core.contracts.data import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

_OTHERS = (*_turns.CONVERSATION_KEYS, "prompt", "completion", "chosen", "rejected", "instruction")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Plain text to learn whole."""

    columns: ClassVar[tuple[str, ...]] = ("text", "label")
    evidence: ClassVar[str] = "text"

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Say whether `row` has text and nothing that reads as a prompt or an answer."""
        return (
            isinstance(row.get("text"), str)
            and _turns.lacks(row, *_OTHERS)
            and not _turns.has(row, "question", "answer")
            and not _turns.has_image(row)
        )

    def record(self, row: Mapping[str, Any], where: str) -> Record:
        """Return the text."""
        text = _turns.text(row, "text")
        if not text.strip():
            raise ValueError("text is empty")
        return Record(where=where, text=text, columns=dict(row))
