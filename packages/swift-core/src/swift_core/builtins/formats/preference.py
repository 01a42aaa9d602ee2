"""Preference: a better and a worse answer, `{"prompt": ..., "chosen": ..., "rejected": ...}`.

All three are plain strings (no chat template applies) or lists of messages. Without a prompt, what chosen and rejected
have in common at their start is the prompt. Also `messages` with `rejected_response` or `rejected_messages`: the last
assistant turn of `messages` is the chosen answer. A `margin` says by how much chosen is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from swift_core.builtins.formats import _turns
from swift_core.contracts.data import Message, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """Pairs of answers to one prompt, one better than the other."""

    columns: ClassVar[tuple[str, ...]] = (
        "prompt",
        "chosen",
        "rejected",
        "messages",
        "rejected_response",
        "rejected_messages",
        "margin",
        "reference",
        "tools",
        "ground_truth",
        "solution",
        "answer",
    )
    evidence: ClassVar[str] = "chosen and rejected"

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Say whether `row` has two answers and is neither Alpaca nor ShareGPT."""
        sharegpt = _turns.looks_like_turns(row.get("conversations"), "from")
        return _turns.is_preference(row) and _turns.lacks(row, "instruction") and not sharegpt

    def record(self, row: Mapping[str, Any], where: str) -> Record:
        """Return prompt, chosen and rejected, all plain or all conversations."""
        split = _pair if _turns.has(row, "chosen", "rejected") else _replies
        prompt, chosen, rejected = split(row)
        common = Record(
            where=where,
            margin=_margin(row),
            tools=_turns.tools(row),
            ground_truth=_turns.ground_truth(row),
            columns=dict(row),
        )
        return replace(common, prompt=prompt, chosen=chosen, rejected=rejected, reference=_reference(row, prompt))


Side = str | Sequence[Message]


def _pair(row: Mapping[str, Any]) -> tuple[Side, Side, Side]:
    prompt = row.get("prompt", row.get("messages"))
    chosen, rejected = row["chosen"], row["rejected"]
    sides = (chosen, rejected) if prompt is None else (prompt, chosen, rejected)
    if all(isinstance(side, str) and not _turns.looks_like_turns(side) for side in sides):
        return (prompt, chosen, rejected) if prompt is not None else _split_text(chosen, rejected)
    better = _turns.as_turns(chosen, "chosen", "assistant")
    worse = _turns.as_turns(rejected, "rejected", "assistant")
    if prompt is None or (isinstance(prompt, str) and better[0]["role"] != "assistant"):
        return _split_turns(better, worse)
    asked = _turns.as_turns(prompt, "prompt", "user")
    if better[: len(asked)] == asked and worse[: len(asked)] == asked:
        better, worse = better[len(asked) :], worse[len(asked) :]
    return asked, better, worse


def _replies(row: Mapping[str, Any]) -> tuple[Side, Side, Side]:
    turns = _turns.messages(row.get("messages"), "messages")
    if turns[-1]["role"] != "assistant":
        raise ValueError("messages must end with the chosen assistant turn")
    if _turns.has(row, "rejected_messages"):
        worse = _turns.messages(row["rejected_messages"], "rejected_messages")
        return _split_turns(turns, worse) if worse[0]["role"] != "assistant" else (turns[:-1], turns[-1:], worse)
    return turns[:-1], turns[-1:], _turns.as_turns(row["rejected_response"], "rejected_response", "assistant")


def _split_text(chosen: str, rejected: str) -> tuple[str, str, str]:
    """Split off the longest common start; a space at its end goes to the answers, where a tokenizer keeps it."""
    if chosen == rejected:
        raise ValueError("chosen and rejected are the same text, so no prompt can be told from the answers")
    length = next(
        (index for index, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b),
        min(len(chosen), len(rejected)),
    )
    if chosen[:length].endswith(" "):
        length -= 1
    return chosen[:length], chosen[length:], rejected[length:]


def _split_turns(chosen: list[Message], rejected: list[Message]) -> tuple[Side, Side, Side]:
    """Split off the turns that both conversations start with."""
    length = 0
    while length < min(len(chosen), len(rejected)) and chosen[length] == rejected[length]:
        length += 1
    if length == 0 or length in (len(chosen), len(rejected)):
        raise ValueError("chosen and rejected must start with the same turns and end with different answers")
    return chosen[:length], chosen[length:], rejected[length:]


def _reference(row: Mapping[str, Any], prompt: Side) -> Side | None:
    """Return the third answer in the form of the prompt, without the prompt's own turns."""
    value = row.get("reference")
    if value is None or (isinstance(prompt, str) and isinstance(value, str)):
        return value
    turns = _turns.as_turns(value, "reference", "assistant")
    return turns[len(prompt) :] if not isinstance(prompt, str) and turns[: len(prompt)] == list(prompt) else turns


def _margin(row: Mapping[str, Any]) -> float | None:
    value = row.get("margin")
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"margin must be a number, got {value!r}") from None
