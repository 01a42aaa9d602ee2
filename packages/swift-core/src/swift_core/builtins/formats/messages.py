"""OpenAI messages: `{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}`.

A turn may have `tool_calls`, and `loss: false` keeps it from being trained. A row may have `tools`, `label` (unpaired
preference) and `ground_truth`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.builtins.formats import _turns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swift_core.contracts.data import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """Conversations in OpenAI's form; every assistant turn is trained."""

    columns: ClassVar[tuple[str, ...]] = ("messages", "tools", "label", "ground_truth", "solution")
    evidence: ClassVar[str] = "messages[].role and messages[].content"

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Say whether `row` has turns with roles and no second answer."""
        return _column(row) != "" and not _turns.is_preference(row)

    def record(self, row: Mapping[str, Any], where: str) -> Record:
        """Return the turns before the first trained one as prompt, the others as completion."""
        column = _column(row) or "messages"
        return _turns.conversation(row, where, _turns.messages(row.get(column), column))


def _column(row: Mapping[str, Any]) -> str:
    return next((name for name in _turns.CONVERSATION_KEYS if _turns.looks_like_turns(row.get(name))), "")
