import pytest

from swift_core.plugin_api import InferRequest
from swift_reward_zoo.answer.choice import Choice


@pytest.mark.parametrize(
    ("response", "truth"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("B. Paris", "B"),
        ("**B**", "B"),
        ("<think>A?</think>\n<answer>B</answer>", "B"),
        ("<answer>b</answer>", "B"),
        (r"\boxed{B}", "B"),
        (r"\boxed{\text{(B)}}", "B"),
        (r"\boxed{\textbf{(B) } 12}", "B"),
        ("The answer is B.", "(B)"),
        ("The correct answer is therefore (B), because A is wrong.", "B"),
        ("The answer is **B**: Paris", "B. Paris"),
        ("**Answer:** B", "B"),
        ("Answer: B\nA is wrong.", "B"),
        ("The answer is A. No, wait. The answer is B.", "B"),
        ("\u7b54\u6848\u662fB\u3002", "B"),
        ("\u7b54\u6848\uff1aB", "B"),
        ("\u9009\u9879A\u4e0d\u5bf9\uff0c\u6545\u9009B", "B"),
        ("The answer is option B", "B"),
        ("The answer is B, I think", "B"),
        ("Some thoughts first.\n\nB", "B"),
        ("B) it is the largest", "b"),
        ("The answers are A, C", "AC"),
        ("The answers are A and C.", "A, C"),
        (r"\boxed{A, C}", "CA"),
        ("Answer: J", "J"),
    ],
)
def test_the_chosen_letter_counts(grade, response, truth):
    assert grade(Choice(), response, truth) == 1.0


@pytest.mark.parametrize(
    ("response", "truth"),
    [
        ("", "B"),
        ("A or B or C", "B"),
        ("The answer is A or B.", "A"),
        ("The answer is either A or B.", "A"),
        ("The answer is A/B", "A"),
        ("The answer is A, B", "A"),
        ("The answer is not B", "B"),
        ("The answer is Bob", "B"),
        ("The answer is A's", "A"),
        ("A. right?\nB. right?\nC. right?", "A"),
        ("<think>The answer is B", "B"),
        (r"\boxed{A} \boxed{B}", "A"),
        (r"\boxed{", "A"),
        ("A dog barks.", "A"),
        ("I do not know", "I"),
        ("B", "AB"),
        ("AB", "B"),
    ],
)
def test_no_letter_another_or_an_open_choice_scores_zero(grade, response, truth):
    assert grade(Choice(), response, truth) == 0.0


@pytest.mark.parametrize("truth", ["7", "Paris", "", None, "K", "A or B"])
def test_a_truth_that_is_no_choice_is_refused_with_its_row(truth):
    requests = [InferRequest(messages=[], response="A")] * 2
    with pytest.raises(ValueError, match=r"^ground truth of row 1 is "):
        Choice()(requests, ["A", truth])


def test_letters_beyond_the_choices_are_no_answer(grade):
    assert grade(Choice(num_choices=4), "Answer: E", "D") == 0.0
    with pytest.raises(ValueError, match=r"^ground truth of row 0 is none of the choices A to D: 'E'$"):
        grade(Choice(num_choices=4), "Answer: E", "E")


@pytest.mark.parametrize("count", [1, 27])
def test_refuses_a_number_of_choices_that_letters_cannot_name(count):
    with pytest.raises(ValueError, match=r"^num_choices must be in "):
        Choice(num_choices=count)
