"""Prompt and completion: `{"prompt": "...", "completion": "..."}`, as plain strings or as lists of messages.

Plain strings are joined as they stand: no chat template applies. A `label` makes a row of unpaired preference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.builtins.formats import _turns
from swift_core.contracts.data import Record

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptCompletion:
    """A prompt that is read and a completion that is trained."""

    columns: ClassVar[tuple[str, ...]] = (
        "prompt",
        "completion",
        "label",
        "tools",
        "ground_truth",
        "solution",
        "answer",
    )
    evidence: ClassVar[str] = "prompt and completion"

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Say whether `row` has a prompt with one completion."""
        others = (*_turns.CONVERSATION_KEYS, "instruction")
        return _turns.has(row, "prompt", "completion") and _turns.lacks(row, *others) and not _turns.is_preference(row)

    def record(self, row: Mapping[str, Any], where: str) -> Record:
        """Return prompt and completion, both plain or both conversations."""
        prompt, completion = row.get("prompt"), row.get("completion")
        plain = isinstance(prompt, str) and isinstance(completion, str)
        return Record(
            where=where,
            prompt=prompt if plain else _turns.as_turns(prompt, "prompt", "user"),
            completion=completion if plain else _turns.as_turns(completion, "completion", "assistant"),
            label=_turns.label(row),
            tools=_turns.tools(row),
            ground_truth=_turns.ground_truth(row, completion if isinstance(completion, str) else ""),
            columns=dict(row),
        )
