r"""Action of an agent: 1 when the last action and its input are the expected ones, else 0.

    score = 1 if (action, input) of response == (action, input) of ground truth else 0

Read are the last line that begins with `Action:` and what follows `Action Input:` after it, up to a line that begins
with `Observation:`. Inputs that are JSON are compared as JSON, others as text without regard to white space. The format
of ReAct: Yao et al., 2022, arXiv:2210.03629; of ToolBench: Qin et al., 2023, arXiv:2307.16789.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_reward_zoo._batch import check_lengths, shown
from swift_reward_zoo._json import NoJSONError, canonical, parse_json
from swift_reward_zoo.answer._extract import after_thinking
from swift_reward_zoo.answer.toolcall import read_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest

_ACTION = re.compile(r"^[ \t]*Action[ \t]*:(.*)$", re.MULTILINE)
_INPUT = re.compile(r"^[ \t]*Action Input[ \t]*:", re.MULTILINE)
_OBSERVATION = re.compile(r"^[ \t]*Observation[ \t]*:", re.MULTILINE)

Action = tuple[str, Hashable]
"""Name and key of the input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolBench:
    """Whether the last action of a response is the expected one: 1.0 or 0.0."""

    def __call__(self, infer_requests: Sequence[InferRequest], ground_truths: Sequence[Any]) -> list[float]:
        """Return 1.0 where action and input are the expected ones, else 0.0; a response without action scores 0.0.

        Raises:
            ValueError: A ground truth has no action, or there are not as many as responses.
        """
        check_lengths("toolbench", infer_requests, {"ground_truths": ground_truths})
        golds = [_expected(row, truth) for row, truth in enumerate(ground_truths)]
        return [
            float(last_action(after_thinking(request.response or "")) == gold)
            for request, gold in zip(infer_requests, golds, strict=True)
        ]


def last_action(text: str) -> Action | None:
    """Return the last action with its input, or None when the text has no action with an input."""
    actions = list(_ACTION.finditer(text))
    if not actions:
        return None
    name, rest = actions[-1][1].strip(), text[actions[-1].end() :]
    given = _INPUT.search(rest)
    if not name or not given:
        return None
    return name, _input_key(_OBSERVATION.split(rest[given.end() :], maxsplit=1)[0])


def _input_key(text: str) -> Hashable:
    try:
        return canonical(parse_json(text))
    except NoJSONError:
        return ("text", " ".join(text.split()))


def _expected(row: int, truth: object) -> Action:
    """Return the action of a ground truth: the same two lines, or a tool call in JSON."""
    action = last_action(truth) if isinstance(truth, str) else None
    if action is not None:
        return action
    try:
        calls = read_calls(parse_json(truth) if isinstance(truth, str) else truth)
    except NoJSONError:
        calls = []
    if not calls:
        raise ValueError(f"ground truth of row {row} has no action: {shown(truth)}")
    name, arguments = calls[-1]
    return name, canonical(arguments)
