"""Agent templates: how tools and their calls are written in a conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class AgentTemplate(Protocol):
    """A `swift.agent_templates` plugin, built from its options. Loading it must not import torch or transformers."""

    def format_tools(self, tools: Sequence[Mapping[str, Any]], system: str, /) -> str:
        """Return the system message that offers `tools`, which are JSON schemas of functions."""

    def format_calls(self, tool_calls: Sequence[Mapping[str, Any]], /) -> str:
        """Return the text of an assistant's calls, each `{name, arguments}`."""

    def format_results(self, results: Sequence[str], /) -> str:
        """Return the text of the turn that answers the calls, in their order."""

    def parse_calls(self, text: str, /) -> Sequence[Mapping[str, Any]]:
        """Return the calls in an assistant's text, none when it calls nothing; ValueError for a malformed call."""
