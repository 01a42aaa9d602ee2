"""ShareGPT: `{"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}`.

A turn may have `loss` and `weight`. Also `function_call` and `observation` turns with a `tools` column, a `system`
column, a pair of single turns `chosen` and `rejected` after the conversation, and `label` or `kto_tag`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from swift_core.builtins.formats import _turns

if TYPE_CHECKING:
    from swift_core.contracts.data import Message, Record

_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "system": "system",
    "observation": "tool",
    "tool": "tool",
    "function_response": "tool",
    "function_call": "function_call",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareGPT:
    """Conversations with from and value; every gpt turn is trained."""

    columns: ClassVar[tuple[str, ...]] = ("conversations", "system", "tools", "chosen", "rejected", "label", "kto_tag")
    evidence: ClassVar[str] = "conversations[].from and conversations[].value"

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Say whether `row` has turns with from and value."""
        return _turns.looks_like_turns(row.get("conversations"), "from")

    def record(self, row: Mapping[str, Any], where: str) -> Record:
        """Return the conversation; with chosen and rejected, all of it is the prompt of that pair."""
        turns = _converted(row.get("conversations"), "conversations")
        if row.get("system"):
            turns = [cast("Message", {"role": "system", "content": _turns.text(row, "system")}), *turns]
        plain = {key: value for key, value in row.items() if key not in ("chosen", "rejected")}
        record = _turns.conversation(plain, where, turns)
        if not _turns.has(row, "chosen", "rejected"):
            return replace(record, columns=dict(row))
        chosen, rejected = _converted(row["chosen"], "chosen"), _converted(row["rejected"], "rejected")
        return replace(record, prompt=turns, completion=None, chosen=chosen, rejected=rejected, columns=dict(row))


def _converted(value: Any, column: str) -> list[Message]:
    turns = [value] if isinstance(value, Mapping) else value
    if isinstance(turns, str):
        return _turns.as_turns(turns, column, "assistant")
    if not isinstance(turns, list) or not turns:
        raise ValueError(f"{column} must be a list of turns with from and value, got {value!r}")
    return [_turn(turn, f"{column}[{index}]") for index, turn in enumerate(turns)]


def _turn(turn: Any, place: str) -> Message:
    if not isinstance(turn, Mapping) or not isinstance(turn.get("value"), str):
        raise ValueError(f"{place} must be a turn with from and value as text, got {turn!r}")
    speaker, value = turn.get("from"), turn["value"]
    role = _ROLES.get(str(speaker))
    if role is None:
        raise ValueError(f"{place}.from must be one of {', '.join(_ROLES)}, got {speaker!r}")
    kept = _turns.marks(turn, place)
    if role == "function_call":
        calls = _turns.tool_calls(value, f"{place}.value")
        return cast("Message", {"role": "assistant", "content": "", "tool_calls": calls, **kept})
    return cast("Message", {"role": role, "content": value, **kept})
