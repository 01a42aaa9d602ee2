"""Qwen: calls between flower marks, as Qwen-Agent writes them for Qwen 2, all inside one answer.

    ✿FUNCTION✿: weather
    ✿ARGS✿: {"city": "Paris"}
    ✿RESULT✿: sunny
    ✿RETURN✿: It is sunny.

The model writes up to `✿RESULT✿:`; whoever runs the tool writes the result and `✿RETURN✿:`. Qwen 2.5 and later speak
`hermes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from swift_core.builtins.agent_templates._json import below, decoded, described, dumped, named

_FUNCTION, _ARGS, _RESULT, _RETURN = (f"✿{word}✿:" for word in ("FUNCTION", "ARGS", "RESULT", "RETURN"))

_TOOL = "### {name}\n\n{name}: {description} Parameters: {parameters} Format the arguments as a JSON object."

_TOOLS = """\
# Tools

## You have access to the following tools:

{tools}

## When you need to call a tool, please insert the following command in your reply, which can be called zero or \
multiple times according to your needs:

✿FUNCTION✿: The tool to use, should be one of [{names}]
✿ARGS✿: The input of the tool
✿RESULT✿: Tool results
✿RETURN✿: Reply based on tool results. Images need to be rendered as ![](url)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen:
    """`FUNCTION`, `ARGS`, `RESULT` and `RETURN` between flower marks, in one answer."""

    results_role: ClassVar[Literal["user", "tool", "assistant"]] = "assistant"

    def format_tools(self, tools: Sequence[Mapping[str, Any]], system: str, /) -> str:
        """Return the system message with the tools, their names and the marks."""
        return below(system, _TOOLS.format(tools=described(tools, _TOOL), names=named(tools)))

    def format_calls(self, tool_calls: Sequence[Mapping[str, Any]], /) -> str:
        """Return two lines for each call, and the mark that hands over to the tool."""
        lines = (f"{_FUNCTION} {call['name']}\n{_ARGS} {dumped(call['arguments'])}\n" for call in tool_calls)
        return "".join(lines) + _RESULT

    def format_results(self, results: Sequence[str], /) -> str:
        """Return the results, and the mark that hands back to the model."""
        return f"\n{_RESULT}".join(f" {result}" for result in results) + f"\n{_RETURN}"

    def parse_calls(self, text: str, /) -> Sequence[Mapping[str, Any]]:
        """Return the calls; ValueError for one without arguments that are a JSON object."""
        calls, position = [], text.find(_FUNCTION)
        while position >= 0:
            line = text[position + len(_FUNCTION) :].partition("\n")[0]
            rest = position + len(_FUNCTION) + len(line)
            name, gap = line.strip(), len(text[rest:]) - len(text[rest:].lstrip())
            if not name or not text.startswith(_ARGS, rest + gap):
                raise ValueError(f"the call of {name!r} has no {_ARGS} below it")
            arguments, end = decoded(text, rest + gap + len(_ARGS), f"what stands after {_ARGS}")
            calls.append({"name": name, "arguments": dict(arguments)})
            position = text.find(_FUNCTION, end)
        return calls
