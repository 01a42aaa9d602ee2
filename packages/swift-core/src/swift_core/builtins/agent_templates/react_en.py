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

from dataclasses import dataclass
from typing import ClassVar

from swift_core.builtins.agent_templates._react import ReAct

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


@dataclass(frozen=True, kw_only=True)
class ReActEnglish(ReAct):
    """`Action:`, `Action Input:` and `Observation:` in one answer, told in English."""

    tool: ClassVar[str] = _TOOL
    tools: ClassVar[str] = _TOOLS
