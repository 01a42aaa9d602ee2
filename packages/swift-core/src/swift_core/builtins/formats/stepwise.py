"""Labelled steps: `{"prompt": ..., "completions": ["step 1", "step 2"], "labels": [true, false]}`.

A label is true or false, or a number in [0, 1]; null is a step that nobody judged. The prompt is plain text or a list
of messages. TRL has the same form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.builtins.formats import _turns
from swift_core.contracts.data import Record

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepwise:
    """A prompt with the steps of a solution, each with a label."""

    columns: ClassVar[tuple[str, ...]] = ("prompt", "completions", "labels", "tools")
    evidence: ClassVar[str] = "prompt, completions and labels"

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Say whether `row` has a list of completions."""
        others = (*_turns.CONVERSATION_KEYS, "text", "instruction", "completion", "steps")
        return (
            _turns.has(row, "prompt")
            and isinstance(row.get("completions"), list)
            and _turns.lacks(row, *others)
            and not _turns.is_preference(row)
        )

    def record(self, row: Mapping[str, Any], where: str) -> Record:
        """Return the prompt with its steps and their labels."""
        steps = _turns.step_texts(row.get("completions"), "completions")
        labels = row.get("labels")
        if not isinstance(labels, list):
            raise ValueError(f"labels must be a list, one for each of {len(steps)} completions, got {labels!r}")
        if len(labels) != len(steps):
            raise ValueError(f"there are {len(steps)} completions and {len(labels)} labels")
        prompt = row.get("prompt")
        plain = isinstance(prompt, str) and not _turns.looks_like_turns(prompt)
        return Record(
            where=where,
            prompt=prompt if plain else _turns.messages(prompt, "prompt"),
            steps=steps,
            step_labels=[_label(label, f"labels[{index}]") for index, label in enumerate(labels)],
            tools=_turns.tools(row),
            columns=dict(row),
        )


def _label(value: Any, place: str) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{place} must be true, false, null or a number in [0, 1], got {value!r}")
    return float(value)
