"""Outcome rewards: one finite score per answer, by the answer and nothing else."""

from __future__ import annotations

import math

import pytest

from swift_core.assemble.rewards import adapt_reward
from swift_core.plugin_api import InferRequest

KIND = "orm"
ANSWERS = ["The answer is 7.", "\\boxed{7}", "eight", "", "7\n" * 50, "#### 7", "\0é…", "1/0"]


def requests(answers: list[str]) -> list[InferRequest]:
    question = {"role": "user", "content": "What is 3 plus 4?"}
    return [
        InferRequest(messages=[question, {"role": "assistant", "content": answer}], response=answer)
        for answer in answers
    ]


@pytest.fixture
def score(spec, plugin):
    """Return a function from answers to scores, with 7 as the expected result."""
    reward = adapt_reward(spec.name, plugin)

    def scores(answers: list[str]) -> list[float | None]:
        return list(reward(requests(answers), ["7"] * len(answers)))

    return scores


def test_it_gives_one_finite_score_per_answer_or_abstains(score):
    scores = score(ANSWERS)
    assert len(scores) == len(ANSWERS)
    assert all(value is None or math.isfinite(value) for value in scores)


def test_no_answers_have_no_scores(score):
    assert score([]) == []


def test_a_score_does_not_depend_on_the_other_answers_or_their_order(score):
    together = score(ANSWERS)
    assert score(ANSWERS[::-1]) == together[::-1]
    assert [score([answer])[0] for answer in ANSWERS] == together


def test_a_right_answer_is_worth_more_than_a_wrong_one(score):
    right, wrong = score(["The answer is \\boxed{7}.", "The answer is \\boxed{8}."])
    assert right > wrong
