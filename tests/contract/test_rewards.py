"""Outcome rewards: one finite score per answer, by the answer and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from swift_core.assemble.rewards import adapt_reward
from swift_core.contracts.reward import RewardInputs
from swift_core.plugin_api import InferRequest
from swift_core.plugins.options import build
from swift_core.testing.server import loopback_server

KIND = "orm"
ANSWERS = ["The answer is 7.", "\\boxed{7}", "eight", "", "7\n" * 50, "#### 7", "\0é…", "1/0", "\ud800", "{" * 500]


@dataclass(frozen=True)
class Example:
    """What a reward is tried on."""

    good: str = "The answer is \\boxed{7}."
    bad: str = "The answer is \\boxed{8}."
    truth: Any = "7"
    options: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)


THOUGHTFUL, CALL = "<think>so</think>", '{"name": "add", "arguments": {"a": 3}}'
EXAMPLES = {
    "choice": Example("The answer is B.", "The answer is C.", "B"),
    "code_tests": Example(
        "```python\nprint(7)\n```",
        "```python\nprint(8)\n```",
        '{"inputs": [""], "outputs": ["7"]}',
        {"require": "L1"},
    ),
    "cosine": Example(options={"max_length": 100}),
    "countdown": Example("<answer>3 + 4</answer>", "<answer>3 - 4</answer>", columns={"target": 7, "nums": [3, 4]}),
    "exact_match": Example("7", "8"),
    "f1": Example("7", "8"),
    "format": Example(f"{THOUGHTFUL}<answer>7</answer>", "7"),
    "json_equal": Example("7", "8"),
    "judge": Example(options={"model": "judge"}),
    "json_schema": Example("7", '"7"', options={"schema": {"type": "integer"}}),
    "language_consistency": Example("It is seven.", "\u662f\u4e03\u3002"),
    "length": Example("seven", "seven" * 10, options={"max_length": 10}),
    "react_format": Example(f"{THOUGHTFUL}\nAction: add\nAction Input: 3, 4", "7"),
    "repetition": Example("It is seven.", "It is. It is. It is."),
    "soft_overlong": Example("seven", "seven" * 10, options={"max_length": 20, "cache_length": 5}),
    "tag_count": Example(f"{THOUGHTFUL}<answer>7</answer>", "7"),
    "toolbench": Example(
        "Action: add\nAction Input: 3", "Action: add\nAction Input: 4", "Action: add\nAction Input: 3"
    ),
    "toolcall": Example(CALL, CALL.replace("3", "4"), CALL),
}
"""By name; a reward that is not here must tell 7 from 8 without options or columns."""


def requests(answers: list[str]) -> list[InferRequest]:
    question = {"role": "user", "content": "What is 3 plus 4?"}
    return [
        InferRequest(messages=[question, {"role": "assistant", "content": answer}], response=answer)
        for answer in answers
    ]


ELSEWHERE = {
    "reasoning_gym": "it needs the package of that name: tests/reward_zoo/answer/test_reasoning_gym.py",
    "reward_model": "it needs a trained run: tests/runs/test_trained_rewards.py",
}


@pytest.fixture(scope="session")
def judge_url():
    """Where a judge listens that knows the right answer."""

    def marks(path, body):
        right = "boxed{7}" in body["messages"][-1]["content"]
        return 200, {"choices": [{"message": {"content": "[[9]]" if right else "[[1]]"}}]}

    with loopback_server(marks) as server:
        yield server.url


@pytest.fixture
def example(spec, request):
    if spec.name in ELSEWHERE:
        pytest.skip(ELSEWHERE[spec.name])
    found = EXAMPLES.get(spec.name, Example()) if spec.first_party else Example()
    if spec.name == "judge":
        found = replace(found, options=found.options | {"url": request.getfixturevalue("judge_url")})
    return found


@pytest.fixture
def plugin(target, example):
    """The reward, built with the options of its example."""
    return build(target, example.options)


@pytest.fixture
def score(spec, plugin, example):
    """Return a function from answers to scores, with the ground truth and the columns of the example."""
    reward = adapt_reward(spec.name, plugin)

    def scores(answers: list[str]) -> list[float | None]:
        columns = {name: [value] * len(answers) for name, value in example.columns.items()}
        return list(reward.score(RewardInputs(requests(answers), [example.truth] * len(answers), columns)))

    return scores


def test_it_gives_one_finite_score_per_answer_or_abstains(score, example):
    answers = [*ANSWERS, example.good, example.bad]
    scores = score(answers)
    assert len(scores) == len(answers)
    assert all(value is None or (type(value) is float and math.isfinite(value)) for value in scores)


def test_no_answers_have_no_scores(score):
    assert score([]) == []


def test_a_score_does_not_depend_on_the_other_answers_or_their_order(score, example):
    answers = [*ANSWERS, example.good, example.bad]
    together = score(answers)
    assert score(answers[::-1]) == together[::-1]
    assert [score([answer])[0] for answer in answers] == together


def test_a_right_answer_is_worth_more_than_a_wrong_one(score, example):
    right, wrong = score([example.good, example.bad])
    assert right > wrong


def test_a_good_answer_is_worth_no_less_than_none(score, example):
    good, nothing = score([example.good, ""])
    assert good >= nothing


def test_columns_of_another_length_are_refused(spec, plugin, example):
    reward = adapt_reward(spec.name, plugin)
    columns = {name: [value] for name, value in example.columns.items()}
    asked = reward.asks_truths or reward.required
    if asked:
        with pytest.raises(ValueError, match="2"):
            reward.score(RewardInputs(requests(["7", "7"]), [example.truth], columns))
