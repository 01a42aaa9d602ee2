"""A request's conversation: what was asked, and the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swift_core.plugin_api import InferRequest


def turns_before(request: InferRequest) -> list[dict[str, Any]]:
    """Return the turns before the answer."""
    turns = [dict(turn) for turn in request.messages]
    return turns[:-1] if turns and turns[-1].get("role") == "assistant" else turns


def question_of(request: InferRequest) -> str:
    """Return what was asked as text: the user's turn alone, or every turn with its role where there are several."""
    turns = turns_before(request)
    if len(turns) == 1:
        return str(turns[0]["content"])
    return "\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)
