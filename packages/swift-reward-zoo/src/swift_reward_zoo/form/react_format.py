"""ReAct format: 1 when a response is thinking, one action and its input, else 0.

    <think>thoughts</think>
    Action: name
    Action Input: input

Thoughts, name and input are not empty, and nothing else stands there. Yao et al., 2022, arXiv:2210.03629.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift_reward_zoo.form.format import pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest

_ACTION = re.compile(r"Action[ \t]*:(.*)\n[ \t]*Action Input[ \t]*:")
_STEP = re.compile(r"^[ \t]*(?:Action|Action Input|Observation|Thought)[ \t]*:", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReActFormat:
    """Whether a response is thinking, one action and its input: 1.0 or 0.0."""

    think_opened: bool = False
    """True when the prompt already ends in `<think>`, so that the response does not begin with it."""

    def __call__(self, infer_requests: Sequence[InferRequest]) -> list[float]:
        """Return 1.0 for each response of the format, else 0.0."""
        return [float(self._keeps(request.response or "")) for request in infer_requests]

    def _keeps(self, response: str) -> bool:
        text = f"<think>{response}" if self.think_opened else response
        outside, thoughts, action = pieces(text, ["<think>", "</think>"]) or ["outside", "", ""]
        if outside.strip() or not thoughts.strip():
            return False
        action = action.strip()
        found = _ACTION.match(action)
        if not found or not found[1].strip():
            return False
        given = action[found.end() :]
        return bool(given.strip()) and not _STEP.search(given)
