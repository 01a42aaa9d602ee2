import pytest

from swift_core.plugin_api import InferRequest
from swift_reward_zoo.answer.exact_match import ExactMatch


@pytest.mark.parametrize(
    ("response", "truth"),
    [
        ("The Eiffel Tower.", "eiffel tower"),
        ("<think>x</think><answer> Paris </answer>", "Paris"),
        ("well-known", "well known"),
        ("caf\u00e9", "cafe\u0301"),
        ("\u5317\u4eac\u3002", "\u5317\u4eac"),
        ("1,000", "1000"),
        ("the", "The"),
        ("\uff12\uff10\uff01", "20"),
        ("Rome", ["Roma", "Rome"]),
        ("7", 7),
    ],
)
def test_spelling_of_the_same_does_not_count(grade, response, truth):
    assert grade(ExactMatch(), response, truth) == 1.0


@pytest.mark.parametrize(
    ("response", "truth"),
    [
        ("", "Paris"),
        ("Paris, I think", "Paris"),
        ("-5", "5"),
        ("3.14", "314"),
        ("1,2", "12"),
        (".5", "5"),
        ("C++", "C"),
        ("C#", "C"),
        ("50%", "50"),
        ("<think>Paris", "Paris"),
        ("<answer>Rome</answer><answer>Paris</answer>", "Rome"),
        ("an", "the"),
        ("x\u00b2", "x2"),
    ],
)
def test_what_differs_scores_zero(grade, response, truth):
    assert grade(ExactMatch(), response, truth) == 0.0


def test_spaces_alone_may_be_ignored(grade):
    assert grade(ExactMatch(normalize="spaces"), " New\n York ", "New York") == 1.0
    assert grade(ExactMatch(normalize="spaces"), "new york", "New York") == 0.0


@pytest.mark.parametrize("truth", ["", "  ", None, [], ["a", None], {"a": 1}])
def test_a_truth_that_is_no_text_is_refused_with_its_row(truth):
    requests = [InferRequest(messages=[], response="a")] * 2
    with pytest.raises(ValueError, match=r"^ground truth of row 1 is "):
        ExactMatch()(requests, ["a", truth])
