"""What a response takes for its answer: one spelling for what means the same, none where nothing is answered."""

import pytest

from swift_reward_zoo.answer.choice import Choice
from swift_reward_zoo.answer.exact_match import ExactMatch
from swift_reward_zoo.answer.final_number import FinalNumber
from swift_reward_zoo.answer.math import Math

SAME = [
    (Math, [r"\boxed{\frac{1}{2}}", "So it is 0.5.", r"The answer is \boxed{x = 1/2}", r"\boxed{0.50}"]),
    (Math, [r"\boxed{1,000}", "#### 1000", r"\boxed{\$1000}"]),
    (Math, [r"\boxed{\{2, 1\}}", r"\boxed{\{1,2\}}"]),
    (Math, [r"\boxed{Monday}", r"\boxed{monday}"]),
    (FinalNumber, ["72", "it is 72.0", "$72", "<think>5</think>72.", "072"]),
    (Choice, ["The answer is B.", r"\boxed{B}", "(B)", "<answer>b</answer>"]),
    (Choice, ["The answer is A and C.", r"\boxed{A, C}"]),
    (ExactMatch, ["The Sea.", "sea", "<answer>a sea</answer>"]),
]
OTHER = [
    (Math, [r"\boxed{(1, 2)}", r"\boxed{(2, 1)}", r"\boxed{[1, 2]}", r"\boxed{12}", r"\boxed{1/2}", r"\boxed{x^2}"]),
    (FinalNumber, ["1", "-1", "1.5", "10"]),
    (Choice, ["A", "B", r"\boxed{AB}"]),
    (ExactMatch, ["5", "-5", "3.14"]),
]
NOTHING = [
    (Math, ["", "<think>7", r"\boxed{"]),
    (FinalNumber, ["", "seven"]),
    (Choice, ["", "A or B"]),
    (ExactMatch, [""]),
]


@pytest.mark.parametrize(("reward", "responses"), SAME)
def test_answers_that_mean_the_same_are_spelled_alike(reward, responses):
    assert len({reward().extract(response) for response in responses}) == 1
    assert reward().extract(responses[0])


@pytest.mark.parametrize(("reward", "responses"), OTHER)
def test_answers_that_differ_are_spelled_differently(reward, responses):
    assert len({reward().extract(response) for response in responses}) == len(responses)


@pytest.mark.parametrize(("reward", "responses"), NOTHING)
def test_a_response_that_answers_nothing_has_none(reward, responses):
    assert [reward().extract(response) for response in responses] == [None] * len(responses)


@pytest.mark.parametrize(
    ("reward", "truth", "read"),
    [
        (Math, "Two and two. #### 1,004", "1004"),
        (Math, r"2\sqrt{3}", r"2\sqrt{3}"),
        (Math, "0.5", "1/2"),
        (FinalNumber, "#### 72.0", "72"),
        (Choice, "CA", "AC"),
        (ExactMatch, ["The Sea", "ocean"], "sea | ocean"),
    ],
)
def test_a_ground_truth_says_how_it_is_read(reward, truth, read):
    assert reward().read_truth(truth) == read


@pytest.mark.parametrize(("reward", "truth"), [(Math, "{"), (FinalNumber, "many"), (Choice, "none"), (ExactMatch, " ")])
def test_a_ground_truth_that_cannot_be_read_is_refused(reward, truth):
    with pytest.raises(ValueError, match="ground truth of row 0"):
        reward().read_truth(truth)
