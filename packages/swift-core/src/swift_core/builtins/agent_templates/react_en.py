"""ReAct in English: thoughts, an action with its input, and an observation, all inside one answer.

    Thought: I should look it up.
    Action: weather
    Action Input: {"city": "Paris"}
    Observation: sunny
    Thought: I now know the final answer
    Final Answer: It is sunny.

The method: Yao et al., 2022, arXiv:2210.03629. The wording: that of the first Qwen chat models. What the data says in
plain words is written as it stands: thoughts and `Final Answer:` are the data's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from swift_core.builtins.agent_templates._json import below, described, named
from swift_core.builtins.agent_templates._react import HAND_OVER, actions, observations, read_actions

_TOOL = (
    "{name}: Call this tool to interact with the {name} API. What is the {name} API useful for? {description} "
    "Parameters: {parameters} Format the arguments as a JSON object."
)

_TOOLS = """\
Answer the following questions as best you can. You have access to the following tools:

{tools}

Use the following format:

Question: the input question you must answer
Thought: you should always think about what to do
Action: the action to take, should be one of [{names}]
Action Input: the input to the action
Observation: the result of the action
... (this Thought/Action/Action Input/Observation can be repeated zero or more times)
Thought: I now know the final answer
Final Answer: the final answer to the original input question

Begin!"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReActEnglish:
    """`Action:`, `Action Input:` and `Observation:` in one answer, told in English."""

    results_role: ClassVar[Literal["user", "tool", "assistant"]] = "assistant"

    def format_tools(self, tools: Sequence[Mapping[str, Any]], system: str, /) -> str:
        """Return the system message with the tools, their names and the form of an answer."""
        return below(system, _TOOLS.format(tools=described(tools, _TOOL), names=named(tools)))

    def format_calls(self, tool_calls: Sequence[Mapping[str, Any]], /) -> str:
        """Return two lines for each call, and the word that hands over to the tool."""
        return f"{actions(tool_calls)}\n{HAND_OVER}"

    def format_results(self, results: Sequence[str], /) -> str:
        """Return the results, an observation each."""
        return observations(results)

    def parse_calls(self, text: str, /) -> Sequence[Mapping[str, Any]]:
        """Return the actions with their inputs; ValueError for one without an input that is a JSON object."""
        return read_actions(text)
