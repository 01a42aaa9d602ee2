"""Llama 3: a call is a line of JSON with `name` and `parameters`; results stand in a `tool` turn.

    {"name": "weather", "parameters": {"city": "Paris"}}

The zero-shot format of Llama 3.1 and 3.2 (Meta, 2024), with the tools in the system message. Their own chat templates
write a `tool` turn as `ipython`. A call after `<|python_tag|>` is read too, and so are calls with `; ` between them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from swift_core.builtins.agent_templates._json import call_of, decoded, dumped

_CALL = re.compile(r"(?:^|;)[ \t]*(?:<\|python_tag\|>)?[ \t]*(?=\{\s*\"name\"\s*:)", re.MULTILINE)

_ARGUMENTS = ("parameters", "arguments")

_TOOLS = """\
You have access to the following functions. To call a function, please respond with JSON for a function call.\
Respond in the format {{"name": function name, "parameters": dictionary of argument name and its value}}.\
Do not use variables.

{tools}

"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Llama3:
    """Tools as indented JSON, calls as lines of JSON with `name` and `parameters`."""

    results_role: ClassVar[Literal["user", "tool", "assistant"]] = "tool"

    def format_tools(self, tools: Sequence[Mapping[str, Any]], system: str, /) -> str:
        """Return the tools with the form of a call, and below them the system message."""
        return (_TOOLS.format(tools="\n\n".join(dumped(tool, indent=4) for tool in tools)) + system).rstrip()

    def format_calls(self, tool_calls: Sequence[Mapping[str, Any]], /) -> str:
        """Return a line for each call."""
        calls = ({"name": call["name"], "parameters": call["arguments"]} for call in tool_calls)
        return "\n".join(map(dumped, calls))

    def format_results(self, results: Sequence[str], /) -> str:
        """Return the results as they are, a line each."""
        return "\n".join(results)

    def parse_calls(self, text: str, /) -> Sequence[Mapping[str, Any]]:
        """Return the calls; ValueError for one that is not JSON. Other JSON with a name in it is no call."""
        calls, found = [], _CALL.search(text)
        while found:
            try:
                value, end = decoded(text, found.end(), "a call")
            except ValueError:
                if any(f'"{key}"' in text[found.end() :] for key in _ARGUMENTS):
                    raise
                break
            if any(key in value for key in _ARGUMENTS):
                calls.append(call_of(value, *_ARGUMENTS))
            found = _CALL.search(text, end)
        return calls
