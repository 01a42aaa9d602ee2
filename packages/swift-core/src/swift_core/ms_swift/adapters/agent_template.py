"""An agent template of ms-swift: `_format_tools`, `_format_tool_calls`, `_format_tool_responses`, `get_toolcall`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from swift_core.ms_swift.adapters._made import made, named
from swift_core.ms_swift.arguments import accepted

if TYPE_CHECKING:
    from swift_core.contracts.plugin import PluginSpec


class _AgentTemplate:
    """Calls the template with messages of ms-swift, whose calls are JSON texts."""

    plugin: ClassVar[Any]
    results_role: ClassVar[Literal["user"]] = "user"

    def __init__(self, *, arguments: dict[str, Any] | None = None) -> None:
        self._template = made(self.plugin, arguments)

    def format_tools(self, tools: Sequence[Mapping[str, Any]], system: str, /) -> str:
        """Return the system message that offers the tools."""
        write = self._template._format_tools
        text: str = write([dict(tool) for tool in tools], system, **accepted(write, {"user_message": None}))
        return text

    def format_calls(self, tool_calls: Sequence[Mapping[str, Any]], /) -> str:
        """Return the text of an assistant's calls."""
        messages = [{"role": "tool_call", "content": json.dumps(dict(call), ensure_ascii=False)} for call in tool_calls]
        text: str = self._template._format_tool_calls(messages)
        return text

    def format_results(self, results: Sequence[str], /) -> str:
        """Return the text of the turn that answers the calls."""
        messages = [{"role": "tool", "content": result} for result in results]
        _, prompt = self._template._format_tool_responses("", messages)
        return prompt if isinstance(prompt, str) else "".join(map(str, prompt))

    def parse_calls(self, text: str, /) -> list[dict[str, Any]]:
        """Return the calls in an assistant's text; ValueError for one that is malformed."""
        return [
            {"name": call.name, "arguments": _arguments(call.arguments)} for call in self._template.get_toolcall(text)
        ]


def _arguments(written: Any) -> Any:
    return json.loads(written) if isinstance(written, str) else written


def adapted(plugin: Any, spec: PluginSpec) -> type:
    """Return the agent template as ours."""
    return named(_AgentTemplate, plugin)
