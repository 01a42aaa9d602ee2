"""ReAct in Chinese: the form of `react_en`, explained to the model in Chinese.

The key words (`Action:`, `Action Input:`, `Observation:`) stay English, so that calls are read alike. Yao et al., 2022,
arXiv:2210.03629.
"""

# ruff: noqa: RUF001 -- Chinese has its own punctuation

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from swift_core.builtins.agent_templates._json import below, described, named
from swift_core.builtins.agent_templates._react import HAND_OVER, actions, observations, read_actions

_TOOL = (
    "{name}: 调用此工具与 {name} API 进行交互。{name} API 有什么用？{description} "
    "输入参数：{parameters} 此工具的输入应为JSON对象。"
)

_TOOLS = """\
尽你所能回答以下问题。你拥有如下工具：

{tools}

请使用以下格式：

Question: 你需要回答的输入问题
Thought: 你应该总是思考要做什么
Action: 要采取的行动，应该是[{names}]中的一个
Action Input: 行动的输入
Observation: 行动的结果
...（这个Thought/Action/Action Input/Observation可以重复零次或多次）
Thought: 我现在知道最终答案
Final Answer: 对原始输入问题的最终答案

开始！"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReActChinese:
    """`Action:`, `Action Input:` and `Observation:` in one answer, told in Chinese."""

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
