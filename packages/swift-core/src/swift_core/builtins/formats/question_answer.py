"""Question and answer: `{"question": "...", "answer": "..."}`, asked and answered as a conversation.

What stands after `####` in an answer, as in GSM8K, is the result that rewards check against.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.builtins.formats import _turns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swift_core.contracts.data import Record

_OTHERS = (*_turns.CONVERSATION_KEYS, "prompt", "completion", "chosen", "rejected", "instruction")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionAnswer:
    """A question of the user and the assistant's answer, which is trained."""

    columns: ClassVar[tuple[str, ...]] = ("question", "answer", "system", "ground_truth", "solution")
    evidence: ClassVar[str] = "question and answer"

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Say whether `row` has a question with its answer."""
        return _turns.has(row, "question", "answer") and _turns.lacks(row, *_OTHERS) and not _turns.has_image(row)

    def record(self, row: Mapping[str, Any], where: str) -> Record:
        """Return the question as prompt and the answer as completion."""
        answer = _turns.text(row, "answer")
        truth = _turns.ground_truth(row, answer, ("ground_truth", "solution"))
        return _turns.question(row, where, answer, truth)
