"""Questions about images: `{"question": "...", "answer": "...", "image": ...}`, asked and answered as a conversation.

`answers` may list what several people said, as text or as objects with `answer`: what most said is trained, of equally
many the first. Where the question has no `<image>`, the images stand before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from swift_core.builtins.formats import _turns

if TYPE_CHECKING:
    from swift_core.contracts.data import Record

_OTHERS = (*_turns.OTHER_ANSWERS, "prompt", "caption")


@dataclass(frozen=True, slots=True, kw_only=True)
class VQA:
    """A question about images and the assistant's answer, which is trained."""

    columns: ClassVar[tuple[str, ...]] = ("question", "answer", "answers", "system", "ground_truth", "solution")
    evidence: ClassVar[str] = "question, answer and image"

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Say whether `row` has a question about an image with its answer."""
        answered = _turns.has(row, "answer") or _turns.has(row, "answers")
        return _turns.has(row, "question") and answered and _turns.has_image(row) and _turns.lacks(row, *_OTHERS)

    def record(self, row: Mapping[str, Any], where: str) -> Record:
        """Return the question as prompt and the answer as completion."""
        answer = _answer(row)
        truth = _turns.ground_truth(row, columns=("ground_truth", "solution")) or answer
        return _turns.question(row, where, answer, truth)


def _answer(row: Mapping[str, Any]) -> str:
    if row.get("answer") is not None:
        return _turns.text(row, "answer")
    given = row.get("answers")
    listed = given if isinstance(given, list | tuple) else []
    said = [each.get("answer") if isinstance(each, Mapping) else each for each in listed]
    if not said or not all(isinstance(each, str) and each for each in said):
        raise ValueError(f"answers must be a list of texts, or of objects with answer, got {str(given)[:60]}")
    return cast("str", Counter(said).most_common(1)[0][0])
