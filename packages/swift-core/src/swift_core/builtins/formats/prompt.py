"""A prompt alone: `{"prompt": ..., "ground_truth": "..."}`, for rewards and metrics on generated answers.

The prompt is a string or a list of messages; the expected result may also be called `solution` or `answer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.builtins.formats import _turns
from swift_core.contracts.data import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

_OTHERS = (*_turns.CONVERSATION_KEYS, "completion", "instruction", "chosen", "rejected", "completions", "steps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt without an answer, with what a reward checks against."""

    columns: ClassVar[tuple[str, ...]] = ("prompt", "label", "ground_truth", "solution", "answer", "tools")
    evidence: ClassVar[str] = "prompt, and no completion"

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Say whether `row` has a prompt and no answer to learn."""
        if _turns.has_image(row) and _turns.is_captioned(row):
            return False
        return _turns.has(row, "prompt") and _turns.lacks(row, *_OTHERS) and not _turns.is_preference(row)

    def record(self, row: Mapping[str, Any], where: str) -> Record:
        """Return the prompt with its expected result."""
        prompt = row.get("prompt")
        plain = isinstance(prompt, str) and not _turns.looks_like_turns(prompt)
        return Record(
            where=where,
            prompt=prompt if plain else _turns.messages(prompt, "prompt"),
            tools=_turns.tools(row),
            ground_truth=_turns.ground_truth(row),
            columns=dict(row),
        )
