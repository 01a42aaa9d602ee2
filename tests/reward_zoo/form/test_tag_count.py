import pytest

from swift_reward_zoo.form.tag_count import TagCount


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("", 0.0),
        ("<think>", 0.25),
        ("<think>a</think>", 0.5),
        ("<think>a</think><answer>7", 0.75),
        ("<think>a</think><answer>7</answer>", 1.0),
        ("<think>a</think><think>b</think><answer>7</answer>", 0.5),
        ("<answer>7</answer><think>a</think>", 1.0),
        ("< think>", 0.0),
    ],
)
def test_each_tag_that_occurs_once_is_worth_a_quarter(grade, response, score):
    assert grade(TagCount(), response) == score


def test_other_tags_may_be_asked_for(grade):
    assert grade(TagCount(tags=("plan",)), "<plan>a</plan><think>") == 1.0


@pytest.mark.parametrize("tags", [(), ("<think>",), ("a", "a"), "think", (1,)])
def test_refuses_tags_that_are_none(tags):
    with pytest.raises(ValueError, match=r"^tags must be "):
        TagCount(tags=tags)
