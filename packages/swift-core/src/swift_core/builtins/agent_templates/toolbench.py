"""ToolBench: a thought, an action and its input in each answer; what the tool says is a turn of its own.

    Thought: I should look it up.
    Action: weather
    Action Input: {"city": "Paris"}

The format that ToolLLaMA is trained on: Qin et al., 2023, arXiv:2307.16789. A task ends with a call of `Finish`, when
the data has it among its tools.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from swift_core.builtins.agent_templates._json import below, dumped, functions
from swift_core.builtins.agent_templates._react import actions, read_actions

_TOOLS = """\
You can use many tools(functions) to do the following task.
First I will give you the task description, and your task start.
At each step, you need to give your thought to analyze the status now and what to do next, with a function call to \
actually excute your step. Your output should follow this format:
Thought:
Action:
Action Input:

After the call, you will get the call result, and you are now in a new state.
Then you will analyze your status now, then decide what to do next...
After many (Thought-call) pairs, you finally perform the task, then you can give your final answer.
Remember:
1.the state change is irreversible, you can't go back to one of the former state, if you want to restart the task, \
say "I give up and restart".
2.All the thought is short, at most in 5 sentence.
3.You can do more then one try, so if your plan is to continuously try some conditions, you can do one of the \
conditions per try.
Let's Begin!
Task description: You should use functions to help handle the real time user querys. Remember:
1.ALWAYS call "Finish" function at the end of the task. And the final answer should contain enough information to show \
to the user,If you can't handle the task, or you find that function calls always fail(the function is not valid now), \
use function Finish->give_up_and_restart.
2.Do not use origin tool names, use only subfunctions' names.
Specifically, you have access to the following APIs: {tools}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolBench:
    """`Thought:`, `Action:` and `Action Input:` in a turn, results in a `tool` turn."""

    results_role: ClassVar[Literal["user", "tool", "assistant"]] = "tool"

    def format_tools(self, tools: Sequence[Mapping[str, Any]], system: str, /) -> str:
        """Return the system message with all tools as one JSON list."""
        return below(system, _TOOLS.format(tools=dumped(functions(tools))))

    def format_calls(self, tool_calls: Sequence[Mapping[str, Any]], /) -> str:
        """Return two lines for each call."""
        return actions(tool_calls)

    def format_results(self, results: Sequence[str], /) -> str:
        """Return the results as they are, a line each."""
        return "\n".join(results)

    def parse_calls(self, text: str, /) -> Sequence[Mapping[str, Any]]:
        """Return the actions with their inputs; ValueError for one without an input that is a JSON object."""
        return read_actions(text)
