import pytest

from swift_reward_zoo.form.format import Format

GOOD = "<think>3 + 4</think> <answer>7</answer>"


@pytest.mark.parametrize("response", [GOOD, f"\n{GOOD}\n", GOOD.replace("> <", ">\n\n<"), GOOD.replace("3", "3\n")])
def test_thinking_then_an_answer_scores_one(grade, response):
    assert grade(Format(), response) == 1.0


@pytest.mark.parametrize(
    "response",
    [
        "",
        "7",
        "<think></think><answer>7</answer>",
        "<think> \n</think><answer>7</answer>",
        "<think>a</think><answer> </answer>",
        GOOD + "<answer>8</answer>",
        GOOD + " by the way",
        "Well. " + GOOD,
        "<think>a</think> so <answer>7</answer>",
        "<think><think>a</think></think><answer>7</answer>",
        "<think>a</think><answer>7</answer>junk</answer>",
        "<answer>7</answer><think>a</think>",
        "<think>a<answer>7</answer></think>",
        "</think>a<think><answer>7</answer>",
        "<think>a</think><answer>7",
    ],
)
def test_anything_else_scores_zero(grade, response):
    assert grade(Format(), response) == 0.0


def test_the_prompt_may_have_opened_the_thinking(grade):
    assert grade(Format(think_opened=True), GOOD.removeprefix("<think>")) == 1.0
    assert grade(Format(think_opened=True), GOOD) == 0.0


def test_the_answer_may_do_without_a_tag(grade):
    assert grade(Format(answer_tag=False), "<think>a</think>\n7") == 1.0
    assert grade(Format(answer_tag=False), "<think>a</think>\n") == 0.0
    assert grade(Format(answer_tag=False), "<think>a</think>7<think>b</think>") == 0.0


@pytest.mark.parametrize("junk", ["x", "<think>", "</answer>", "<answer>1</answer>"])
@pytest.mark.parametrize("at_start", [True, False])
def test_junk_around_it_never_pays(grade, junk, at_start):
    assert grade(Format(), junk + GOOD if at_start else GOOD + junk) == 0.0
