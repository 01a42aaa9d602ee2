import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_core.plugin_api import aggregate_steps
from swift_reward_zoo.steps import join_steps, split_steps

STYLES = ["auto", "marked", "numbered", "paragraphs", "lines"]
pieces = st.sampled_from(
    [
        "Step 1: ",
        "step 2",
        "\u6b65\u9aa41\uff1a",
        "\n",
        "\n\n",
        "\r\n",
        "1. ",
        "2) ",
        "```",
        "```python\n",
        "$$",
        "\\[",
        "\\]",
        "text",
        " ",
        "\u2028",
        "\ud800",
        "~~~",
        "> **",
    ]
)


@given(parts=st.lists(pieces, max_size=25), style=st.sampled_from(STYLES))
def test_joined_steps_are_the_text(parts, style):
    text = "".join(parts)
    assert join_steps(split_steps(text, style)) == text


@given(text=st.text(), style=st.sampled_from(STYLES))
def test_any_text_is_joined_again_and_no_step_is_empty(text, style):
    steps = split_steps(text, style)
    assert join_steps(steps) == text
    assert all(steps)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("Step 1: a\nStep 2: b\n", ["Step 1: a\n", "Step 2: b\n"]),
        ("Step1: a\nand so\nStep2: b", ["Step1: a\nand so\n", "Step2: b"]),
        ("Let us see.\n\nStep 1: a\n\nStep 2: b", ["Let us see.\n\nStep 1: a\n\n", "Step 2: b"]),
        ("**Step 1:** a\n### Step 2\nb", ["**Step 1:** a\n", "### Step 2\nb"]),
        ("\u6b65\u9aa41\uff1aa\n\u6b65\u9aa42\uff1ab", ["\u6b65\u9aa41\uff1aa\n", "\u6b65\u9aa42\uff1ab"]),
        (
            "\u7b2c\u4e00\u6b65\uff0ca\n\u7b2c\u4e8c\u6b65\uff0cb",
            ["\u7b2c\u4e00\u6b65\uff0ca\n", "\u7b2c\u4e8c\u6b65\uff0cb"],
        ),
        ("1. a\n2. b\n3. c", ["1. a\n", "2. b\n", "3. c"]),
        ("1) a\n   1) within\n2) b", ["1) a\n   1) within\n", "2) b"]),
        ("1. a\n2024. was a year\n2. b", ["1. a\n2024. was a year\n", "2. b"]),
        ("a\nb\n\n\nc\n", ["a\nb\n\n\n", "c\n"]),
        ("a\n\n```\nx\n\ny\n```\n\nb", ["a\n\n", "```\nx\n\ny\n```\n\n", "b"]),
        ("a\n\n$$\nx\n\nStep 1: y\n$$\n\nb", ["a\n\n", "$$\nx\n\nStep 1: y\n$$\n\n", "b"]),
        ("a $Step 1: b$ c", ["a $Step 1: b$ c"]),
        ("as in Step 1: a, so Step 2: b", ["as in Step 1: a, so Step 2: b"]),
        ("one line", ["one line"]),
        ("\n\n", ["\n\n"]),
        ("", []),
    ],
)
def test_cuts_where_steps_begin(text, steps):
    assert split_steps(text) == steps


def test_each_line_may_be_a_step():
    assert split_steps("a\n\nb\nc", "lines") == ["a\n\n", "b\n", "c"]


def test_an_unclosed_fence_keeps_the_rest_together():
    assert split_steps("Step 1: a\nStep 2:\n```\nStep 3: b") == ["Step 1: a\n", "Step 2:\n```\nStep 3: b"]


@given(scores=st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_aggregates_are_what_their_names_say(scores):
    assert aggregate_steps(scores) == aggregate_steps(scores, "min") == sorted(scores)[0]
    assert aggregate_steps(scores, "mean") == pytest.approx(sum(scores) / len(scores))
    logs = [math.log(score) if score else -math.inf for score in scores]
    assert aggregate_steps(scores, "product") == pytest.approx(math.exp(sum(logs)))
    assert aggregate_steps(scores, "last") == scores[-1]


def test_no_steps_have_no_score():
    with pytest.raises(ValueError, match=r"^an answer without steps has no score$"):
        aggregate_steps([])


def test_refuses_scores_that_are_not_finite():
    with pytest.raises(ValueError, match=r"^score of step 1 must be finite, got nan$"):
        aggregate_steps([0.5, math.nan], "mean")


def test_refuses_an_aggregation_it_does_not_know():
    with pytest.raises(ValueError, match=r"^aggregation must be one of min, mean, product, last, got 'max'$"):
        aggregate_steps([0.5], "max")
