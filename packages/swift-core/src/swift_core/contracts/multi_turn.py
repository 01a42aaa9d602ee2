"""Several turns: what answers the model between its own turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swift_core.contracts.data import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """An answer in the making, after a turn of the model."""

    messages: Sequence[Mapping[str, Any]]
    """The turns of the prompt and all since; the last one is the model's."""

    response: str
    """What the model said in its last turn."""

    turn: int
    """Which turn of the model that was, from 1."""

    ground_truth: str | None
    """Of the row."""

    columns: Mapping[str, Any]
    """Of the row, by name."""


class MultiTurn(Protocol):
    """A `swift.multi_turns` plugin, built from its options: a tool, an environment, somebody who asks again.

    It keeps nothing of a conversation: all that was said is in `messages`. It is called with all conversations that
    wait for it, so that it may answer them side by side.
    """

    def __call__(self, conversations: Sequence[Conversation], /) -> Sequence[Sequence[Message] | None]:
        """Return for each conversation the turns that follow, None where it is over.

        The turns are of any role but `assistant`. The model goes on after them, and is not trained on them.
        """
