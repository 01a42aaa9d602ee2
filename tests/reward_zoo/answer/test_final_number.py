import pytest

from swift_core.plugin_api import InferRequest
from swift_reward_zoo.answer.final_number import FinalNumber


@pytest.mark.parametrize(
    ("response", "truth"),
    [
        ("48 / 2 = 24, and 48 + 24 = 72.", "72"),
        ("#### 1,000", "1000"),
        ("He pays $1,234.50 in all.", "48+1\n#### 1234.5"),
        ("It falls to -7 degrees", "-7"),
        ("It falls to \u22127", "-7"),
        ("5-3", "3"),
        (r"so \boxed{18}", "18"),
        (r"\boxed{\$18}", "18"),
        ("\u7b54\u6848\u662f18\u3002", "18"),
        ("about 50%", "50"),
        ("it is .5", "0.5"),
        ("it is 007.50", "7.5"),
        ("<think>maybe 3</think> 4", "4"),
        ("the sum is 10", 10),
        ("9" * 6000, "9" * 6000),
    ],
)
def test_the_last_number_counts(grade, response, truth):
    assert grade(FinalNumber(), response, truth) == 1.0


@pytest.mark.parametrize(
    ("response", "truth"),
    [
        ("", "5"),
        ("none", "5"),
        ("5, not 6", "5"),
        ("<think>5", "5"),
        ("-5", "5"),
        ("1,2", "12"),
        ("x5", "5"),
        ("17.9999999999999999999999999999999999", "18"),
        ("9" * 5999 + "8", "9" * 6000),
    ],
)
def test_another_last_number_scores_zero(grade, response, truth):
    assert grade(FinalNumber(), response, truth) == 0.0


def test_tolerance_is_the_largest_difference_that_counts(grade):
    assert grade(FinalNumber(tolerance=0.1), "3.1", "3") == 1.0
    assert grade(FinalNumber(tolerance=0.1), "3.11", "3") == 0.0


def test_with_a_marker_only_what_follows_it_counts(grade):
    assert grade(FinalNumber(marker="####"), "#### 5\nThat took 3 steps.", "5") == 1.0
    assert grade(FinalNumber(marker="####"), "The answer is 5", "5") == 0.0


@pytest.mark.parametrize("truth", ["seven", "1/2", "", None, True, "1 2", "#### x"])
def test_a_truth_that_is_no_number_is_refused_with_its_row(truth):
    requests = [InferRequest(messages=[], response="1")] * 2
    with pytest.raises(ValueError, match=r"^ground truth of row 1 is "):
        FinalNumber()(requests, ["1", truth])


def test_refuses_a_negative_tolerance():
    with pytest.raises(ValueError, match=r"^tolerance must be >= 0, got -1"):
        FinalNumber(tolerance=-1.0)
