import pytest

from swift_core.builtins.exact_match import ExactMatch
from swift_core.contracts.metric import Generations
from swift_core.contracts.reward import InferRequest


def generations(*pairs):
    requests = [InferRequest(messages=[], response=response) for response, _ in pairs]
    return Generations(requests, [None] * len(pairs), [expected for _, expected in pairs], {}, [])


def test_counts_the_answers_that_are_the_expected_ones():
    answers = generations(("4", "4"), ("four", "4"), (" 4\n", "4"), ("44", "4"))
    assert ExactMatch().compute(answers) == {"exact_match": 0.5}


def test_rows_without_an_expected_answer_do_not_count():
    assert ExactMatch().compute(generations(("4", "4"), ("Hello", None))) == {"exact_match": 1.0}


def test_an_empty_answer_can_be_the_expected_one():
    assert ExactMatch().compute(generations(("", ""), ("x", ""))) == {"exact_match": 0.5}


def test_without_any_expected_answer_there_is_no_figure():
    with pytest.raises(ValueError, match=r"^exact_match needs held-out rows with an expected answer"):
        ExactMatch().compute(generations(("Hello", None)))
