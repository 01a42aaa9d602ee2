"""What ReAct and ToolBench share: `Action:` with a name, and `Action Input:` with JSON below it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from swift_core.builtins.agent_templates._json import below, decoded, described, dumped, named

_ACTION = re.compile(r"^[ \t]*Action:[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_INPUT = re.compile(r"\s*Action Input:")

HAND_OVER = "Observation:"
"""What ends the calls of an answer: generation stops behind it, and the tool's result follows."""


def actions(tool_calls: Sequence[Mapping[str, Any]]) -> str:
    """Return two lines for each call."""
    return "\n".join(f"Action: {call['name']}\nAction Input: {dumped(call['arguments'])}" for call in tool_calls)


def observations(results: Sequence[str]) -> str:
    """Return what follows `Observation:`, up to the line that the assistant goes on with."""
    return f"\n{HAND_OVER}".join(f" {result}" for result in results) + "\n"


def read_actions(text: str) -> list[dict[str, Any]]:
    """Return the calls of a text.

    Raises:
        ValueError: An action has no name, no input, or one that is no JSON object.
    """
    calls: list[dict[str, Any]] = []
    found = _ACTION.search(text)
    while found:
        name, given = found[1], _INPUT.match(text, found.end())
        if not name or not given:
            lack = f"the action {name!r} has no 'Action Input:' below it" if name else "an action has no name"
            raise ValueError(lack)
        arguments, end = decoded(text, given.end(), f"the input of the action {name!r}")
        calls.append({"name": name, "arguments": dict(arguments)})
        found = _ACTION.search(text, end)
    return calls


class ReAct:
    """Calls and results inside one answer; a subclass says how the model is told of the tools."""

    tool: ClassVar[str]
    """What is said of one tool."""

    tools: ClassVar[str]
    """What is said of all, with places for `tools` and their `names`."""

    results_role: ClassVar[Literal["user", "tool", "assistant"]] = "assistant"

    def format_tools(self, tools: Sequence[Mapping[str, Any]], system: str, /) -> str:
        """Return the system message with the tools, their names and the form of an answer."""
        return below(system, self.tools.format(tools=described(tools, self.tool), names=named(tools)))

    def format_calls(self, tool_calls: Sequence[Mapping[str, Any]], /) -> str:
        """Return two lines for each call, and the word that hands over to the tool."""
        return f"{actions(tool_calls)}\n{HAND_OVER}"

    def format_results(self, results: Sequence[str], /) -> str:
        """Return the results, an observation each."""
        return observations(results)

    def parse_calls(self, text: str, /) -> Sequence[Mapping[str, Any]]:
        """Return the actions with their inputs; ValueError for one without an input that is a JSON object."""
        return read_actions(text)
