"""ReAct in Chinese: the form of `react_en`, explained to the model in Chinese.

The key words (`Action:`, `Action Input:`, `Observation:`) stay English, so that calls are read alike. Yao et al., 2022,
arXiv:2210.03629.
"""

# ruff: noqa: RUF001 -- Chinese has its own punctuation

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.builtins.agent_templates._react import ReAct

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


@dataclass(frozen=True, kw_only=True)
class ReActChinese(ReAct):
    """`Action:`, `Action Input:` and `Observation:` in one answer, told in Chinese."""

    tool: ClassVar[str] = _TOOL
    tools: ClassVar[str] = _TOOLS
