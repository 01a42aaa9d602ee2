"""Alpaca: `{"instruction": "...", "input": "...", "output": "..."}`, with optional `system` and `history`.

The user's turn is the instruction and, below it, the input. `history` holds earlier turns as
`[[question, answer], ...]`. `chosen` and `rejected` in place of `output` make a preference row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from swift_core.builtins.formats import _turns
from swift_core.contracts.data import Message, Record

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Alpaca:
    """Instructions with an optional input; the output is trained, and so are the answers in `history`."""

    columns: ClassVar[tuple[str, ...]] = (
        "instruction",
        "input",
        "output",
        "system",
        "history",
        "chosen",
        "rejected",
        "label",
        "kto_tag",
        "ground_truth",
        "tools",
    )
    evidence: ClassVar[str] = "instruction"

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Say whether `row` has an instruction and an answer."""
        answered = _turns.has(row, "output") or _turns.has(row, "chosen", "rejected")
        return _turns.has(row, "instruction") and answered and _turns.lacks(row, *_turns.CONVERSATION_KEYS)

    def record(self, row: Mapping[str, Any], where: str) -> Record:
        """Return the instruction as prompt and the output as completion, or chosen and rejected."""
        turns = [*_earlier(row), _turn("user", _question(row))]
        truth = _turns.ground_truth(row, columns=("ground_truth", "solution"))
        if _turns.has(row, "chosen", "rejected"):
            return Record(
                where=where,
                prompt=turns,
                chosen=_turns.as_turns(row["chosen"], "chosen", "assistant"),
                rejected=_turns.as_turns(row["rejected"], "rejected", "assistant"),
                tools=_turns.tools(row),
                ground_truth=truth,
                columns=dict(row),
            )
        return _turns.conversation(row, where, [*turns, _turn("assistant", _turns.text(row, "output"))])


def _question(row: Mapping[str, Any]) -> str:
    details = row.get("input")
    instruction = _turns.text(row, "instruction")
    return f"{instruction}\n{_turns.text(row, 'input')}" if details else instruction


def _earlier(row: Mapping[str, Any]) -> list[Message]:
    turns = [_turn("system", _turns.text(row, "system"))] if row.get("system") else []
    history = row.get("history") or []
    if not isinstance(history, list | tuple):
        raise ValueError(f"history must be a list of questions with answers, got {history!r}")
    for index, pair in enumerate(history):
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(side, str) for side in pair):
            raise ValueError(f"history[{index}] must be a question and an answer, got {pair!r}")
        turns += [_turn("user", pair[0]), _turn("assistant", pair[1])]
    return turns


def _turn(role: str, content: str) -> Message:
    return cast("Message", {"role": role, "content": content})
