"""What `math` says of several hundred answers whose truth is argued for beside them, in `math_cases.jsonl`.

A line is {"kind", "right", "response", "truth", "why"}; a long response is a list of [text, how often]. A right answer
that is known not to be recognised has "missed": true.
"""

import json
from pathlib import Path

import pytest

from swift_core.plugin_api import InferRequest
from swift_reward_zoo.answer.math import Math

CASES = [json.loads(line) for line in Path(__file__).with_name("math_cases.jsonl").read_text("utf-8").splitlines()]
KINDS = sorted({case["kind"] for case in CASES})


def response(case):
    parts = case["response"]
    return parts if isinstance(parts, str) else "".join(text * times for text, times in parts)


@pytest.fixture(scope="module")
def scores():
    """The score of every case, all of them scored as one batch."""
    requests = [InferRequest(messages=[], response=response(case)) for case in CASES]
    return Math(timeout=20.0)(requests, [case["truth"] for case in CASES])


def told(case, score):
    return {"response": response(case)[:200], "truth": case["truth"], "score": score, "why": case["why"]}


@pytest.mark.parametrize("kind", KINDS)
def test_right_answers_score_one_and_no_other_does(scores, kind):
    rows = [(case, score) for case, score in zip(CASES, scores, strict=True) if case["kind"] == kind]
    assert rows
    expected = [float(case["right"] and not case.get("missed", False)) for case, _ in rows]
    wrong = [told(*row) for row, wanted in zip(rows, expected, strict=True) if row[1] != wanted]
    assert wrong == []


def test_no_more_than_one_in_a_hundred_is_missed():
    assert sum(case.get("missed", False) for case in CASES) < 0.01 * len(CASES)


def test_the_cases_are_several_hundred_of_both_sorts_and_none_is_there_twice():
    sorts = [case["right"] for case in CASES]
    assert min(sorts.count(True), sorts.count(False)) >= 300
    assert len({(response(case), case["truth"]) for case in CASES}) == len(CASES)


def test_what_an_answer_says_can_always_be_told():
    for case in CASES:
        said = Math().extract(response(case))
        assert said is None or said


def test_answers_that_are_equal_to_a_number_are_spelled_as_it_is():
    for case in CASES:
        truth = Math().read_truth(case["truth"])
        if case["right"] and truth.removeprefix("-").isdecimal() and "%" not in response(case) + case["truth"]:
            said = Math().extract(response(case))
            assert said == truth or not said.removeprefix("-").isdecimal(), case
