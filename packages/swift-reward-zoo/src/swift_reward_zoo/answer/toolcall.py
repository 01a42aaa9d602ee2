"""Tool calls: 1 when a response calls the expected tools with the expected arguments, else 0.

    score = 1 if calls of response == calls of ground truth else 0
    partial: F1 over the facts of both: one for each name, one for each name with one of its arguments

Read in a response: `<tool_call>{"name": ..., "arguments": ...}</tool_call>`, once or more; else a JSON object or array
of such calls, also fenced, also in the form of the OpenAI API (`function`, arguments as text). With `agent_template`,
what that template reads. Values are compared as `json_equal` does. Partial credit by names and arguments: Qian et al.,
2025, "ToolRL", arXiv:2504.13958.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swift_core.plugin_api import AgentTemplate, open_agent_template, run_folder
from swift_reward_zoo._batch import check_lengths, shown
from swift_reward_zoo._json import NoJSONError, canonical, find_json, parse_json
from swift_reward_zoo.answer._extract import after_thinking
from swift_reward_zoo.answer.f1 import f1

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from swift_core.plugin_api import InferRequest

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"

Call = tuple[str, dict[str, Any]]
"""Name and arguments."""


@dataclass(kw_only=True)
class ToolCall:
    """Whether a response makes the expected tool calls: 1.0 or 0.0, or the share of them."""

    partial: bool = False
    """True pays for the share of names and arguments that agree; False for all of them or nothing."""

    ignore_order: bool = True
    """True lets several calls stand in any order; partial credit never looks at it."""

    agent_template: str = ""
    """The agent template that reads calls in responses, as in `data.agent_template`; empty reads the forms above."""

    _template: AgentTemplate | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        """Look the agent template up; raise ValueError when there is none of this name."""
        if self.agent_template:
            self._template = open_agent_template(self.agent_template, run_folder())

    def __call__(self, infer_requests: Sequence[InferRequest], ground_truths: Sequence[Any]) -> list[float]:
        """Return the score of each response; a ground truth of `[]` expects that no tool is called.

        Raises:
            ValueError: A ground truth holds no tool call, or there are not as many as responses.
        """
        check_lengths("toolcall", infer_requests, {"ground_truths": ground_truths})
        golds = [_expected(row, truth) for row, truth in enumerate(ground_truths)]
        return [self._score(request.response or "", gold) for request, gold in zip(infer_requests, golds, strict=True)]

    def _score(self, response: str, gold: list[Call]) -> float:
        try:
            given = self._read(after_thinking(response))
        except ValueError:
            return 0.0
        if not gold or not self.partial:
            return float(self._keys(given) == self._keys(gold))
        return f1(_facts(given), _facts(gold))

    def _read(self, text: str) -> list[Call]:
        """Return the calls of a response; raise ValueError where one is malformed."""
        if self._template is None:
            return calls_in(text)
        return [(call["name"], dict(call["arguments"])) for call in self._template.parse_calls(text)]

    def _keys(self, calls: list[Call]) -> object:
        keys = [(name, canonical(arguments)) for name, arguments in calls]
        return Counter(keys) if self.ignore_order else keys


def calls_in(text: str) -> list[Call]:
    """Return the tool calls of a text; none when it has no tag and no JSON that is a call.

    Raises:
        NoJSONError: What stands in `<tool_call>` is no call, or is not closed.
    """
    if _OPEN in text:
        blocks = [block.partition(_CLOSE) for block in text.split(_OPEN)[1:]]
        if not all(closed for _, closed, _ in blocks):
            raise NoJSONError("a <tool_call> is not closed")
        return [call for block, _, _ in blocks for call in read_calls(parse_json(block))]
    try:
        return read_calls(find_json(text))
    except NoJSONError:
        return []


def read_calls(value: Any) -> list[Call]:
    """Return the calls that a JSON value is: one of them or an array.

    Raises:
        NoJSONError: It is something else.
    """
    return [_call(item) for item in (value if isinstance(value, list) else [value])]


def _call(value: Any) -> Call:
    """Return one call: `{"name", "arguments"}`, `{"name", "parameters"}` or one of these under `function`."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise NoJSONError("it is no tool call: it has no name")
    arguments = value.get("arguments", value.get("parameters"))
    if isinstance(arguments, str):
        arguments = parse_json(arguments) if arguments.strip() else {}
    if not isinstance(arguments, dict) and arguments is not None:
        raise NoJSONError("it is no tool call: its arguments are no object")
    return value["name"], arguments or {}


def _facts(calls: list[Call]) -> Counter[Hashable]:
    """Return what can agree in calls: each name, and each argument of it."""
    facts: Counter[Hashable] = Counter()
    for name, arguments in calls:
        facts[name] += 1
        facts.update((name, key, canonical(value)) for key, value in arguments.items())
    return facts


def _expected(row: int, truth: object) -> list[Call]:
    try:
        return read_calls(_truth_value(truth))
    except NoJSONError as error:
        raise ValueError(f"ground truth of row {row} holds no tool call: {shown(truth)} ({error})") from None


def _truth_value(truth: object) -> Any:
    """Return the JSON of a ground truth: text, tagged text, or the value itself as a data set may hold it."""
    if not isinstance(truth, str):
        return truth
    if _OPEN in truth:
        return [{"name": name, "arguments": arguments} for name, arguments in calls_in(truth)]
    return parse_json(truth)
