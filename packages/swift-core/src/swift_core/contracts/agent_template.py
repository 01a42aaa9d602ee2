"""Agent templates: how tools, their calls and their results are written in a conversation."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol


class AgentTemplate(Protocol):
    """A `swift.agent_templates` plugin, built from its options. Loading it must not import torch or transformers.

    A call is `{"name": ..., "arguments": {...}}`, its arguments plain JSON. Calls that `format_calls` wrote, alone or
    behind other text of the assistant, are the calls that `parse_calls` reads.
    """

    results_role: ClassVar[Literal["user", "tool", "assistant"]]
    """Who says what tools answered: a turn of this role. `assistant`: the answer that called goes on with it, and with
    what the assistant says next; the results inside it are read and never trained."""

    def format_tools(self, tools: Sequence[Mapping[str, Any]], system: str, /) -> str:
        """Return the system message that offers `tools` to a model told `system`, which may be empty.

        Each tool is `{"type": "function", "function": {"name": ..., "description": ..., "parameters": JSON schema}}`.
        """

    def format_calls(self, tool_calls: Sequence[Mapping[str, Any]], /) -> str:
        """Return the text of an assistant's calls, with what hands over to the tools."""

    def format_results(self, results: Sequence[str], /) -> str:
        """Return the text of what the tools answered, in the order of the calls."""

    def parse_calls(self, text: str, /) -> Sequence[Mapping[str, Any]]:
        """Return the calls in an assistant's text, none when it calls nothing; ValueError for a malformed call."""


def open_agent_template(name: str, base: Path) -> AgentTemplate:
    """Return the agent template that `name` means, with its defaults: a reward reads calls as the data wrote them.

    Args:
        name: As in `data.agent_template`.
        base: `run_folder()` of when the plugin was built.

    Raises:
        ValueError: There is none, or it cannot be built.
    """
    agents = importlib.import_module("swift_core.assemble.data.agents")  # it lies above the contracts
    made: AgentTemplate = agents.open_template(name, base)
    return made
