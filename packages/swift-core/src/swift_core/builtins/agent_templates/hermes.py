"""Hermes: calls as JSON between `<tool_call>` tags, as Qwen 2.5 and Qwen 3 chat templates write them.

    <tool_call>
    {"name": "weather", "arguments": {"city": "Paris"}}
    </tool_call>

Results stand in a user's turn, each between `<tool_response>` tags. The format of Hermes 2 Pro (Nous Research, 2024).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from swift_core.builtins.agent_templates._json import below, call_of, decoded, dumped

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"

_TOOLS = """\
# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hermes:
    """Tools as JSON between `<tools>` tags, calls between `<tool_call>` tags."""

    results_role: ClassVar[Literal["user", "tool", "assistant"]] = "user"

    def format_tools(self, tools: Sequence[Mapping[str, Any]], system: str, /) -> str:
        """Return the system message with one tool a line."""
        return below(system, _TOOLS.format(tools="\n".join(map(dumped, tools))))

    def format_calls(self, tool_calls: Sequence[Mapping[str, Any]], /) -> str:
        """Return a block for each call."""
        calls = ({"name": call["name"], "arguments": call["arguments"]} for call in tool_calls)
        return "\n".join(f"{_OPEN}\n{dumped(call)}\n{_CLOSE}" for call in calls)

    def format_results(self, results: Sequence[str], /) -> str:
        """Return a block for each result."""
        return "\n".join(f"<tool_response>\n{result}\n</tool_response>" for result in results)

    def parse_calls(self, text: str, /) -> Sequence[Mapping[str, Any]]:
        """Return the calls of all blocks; ValueError for one that is not JSON or not closed."""
        calls, position = [], text.find(_OPEN)
        while position >= 0:
            value, end = decoded(text, position + len(_OPEN), f"what stands after {_OPEN}")
            calls.append(call_of(value, "arguments"))
            if not text[end:].lstrip().startswith(_CLOSE):
                raise ValueError(f"the call of {calls[-1]['name']!r} is not closed by {_CLOSE}")
            position = text.find(_OPEN, end)
        return calls
