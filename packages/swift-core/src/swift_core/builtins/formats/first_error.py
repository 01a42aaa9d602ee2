"""Steps with the place of the first wrong one: `{"problem": ..., "steps": ["...", "..."], "label": 1}`.

`label` is the index of the first wrong step, from 0, or -1 when all are right, as in ProcessBench (Zheng et al., 2024,
arXiv:2412.06559). BIG-Bench Mistake (Tyen et al., 2023, arXiv:2311.08516) calls it `mistake_index`, null when
all are right. Steps after the first wrong one are not judged: right and wrong mean little there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.builtins.formats import _turns
from swift_core.contracts.data import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROBLEMS = ("problem", "input", "question", "prompt")
_PLACES = ("label", "mistake_index")


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstError:
    """A problem with the steps of a solution and which of them is the first wrong one."""

    columns: ClassVar[tuple[str, ...]] = (*_PROBLEMS, "steps", *_PLACES)
    evidence: ClassVar[str] = "steps and the index of the first wrong one"
    nullable: ClassVar[tuple[str, ...]] = ("mistake_index",)

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Say whether `row` has steps and says which is wrong."""
        others = (*_turns.CONVERSATION_KEYS, "text", "instruction", "completion", "completions")
        says = row.get("label") is not None or "mistake_index" in row
        answers = _turns.is_preference(row) or _turns.has(row, "question", "answer")
        return isinstance(row.get("steps"), list) and says and _turns.lacks(row, *others) and not answers

    def record(self, row: Mapping[str, Any], where: str) -> Record:
        """Return the problem with its steps: those before the first wrong one are right, those after it not judged."""
        column = next((name for name in _PROBLEMS if row.get(name) is not None), "problem")
        steps = _turns.step_texts(row.get("steps"), "steps")
        name, first = next(((name, row[name]) for name in _PLACES if name in row), ("label", ""))
        first = -1 if first is None else first
        if isinstance(first, float) and first.is_integer():  # Parquet and CSV readers make floats of a column with gaps
            first = int(first)
        if isinstance(first, bool) or not isinstance(first, int) or not -1 <= first < len(steps):
            raise ValueError(f"{name} must be the index of a step, 0 to {len(steps) - 1}, or -1, got {first!r}")
        num_right = len(steps) if first < 0 else first
        judged = [1.0] * num_right + [0.0] * (first >= 0)
        return Record(
            where=where,
            prompt=_turns.text(row, column) + "\n",
            steps=steps,
            step_labels=[*judged, *[None] * (len(steps) - len(judged))],
            columns=dict(row),
        )
