import pytest

from swift_reward_zoo.form.react_format import ReActFormat

GOOD = '<think>look it up</think>\nAction: search\nAction Input: {"query": "cats"}'


@pytest.mark.parametrize(
    "response", [GOOD, f"\n{GOOD}\n", GOOD.replace(": {", ":\n{"), GOOD.replace('"cats"', '\n"x"\n')]
)
def test_thinking_an_action_and_its_input_score_one(grade, response):
    assert grade(ReActFormat(), response) == 1.0


@pytest.mark.parametrize(
    "response",
    [
        "",
        "<think>a</think>",
        GOOD.replace("look it up", " "),
        GOOD.replace("search", ""),
        GOOD.partition("{")[0],
        GOOD.replace("\nAction Input", " Action Input"),
        GOOD.replace("Action: search", "then Action: search"),
        GOOD.replace("Action: search", "Action: search\nand so"),
        GOOD + "\nAction: search\nAction Input: {}",
        GOOD + "\nObservation: cats",
        "<think>a</think>" + GOOD,
        "Action: search\nAction Input: {}",
    ],
)
def test_anything_else_scores_zero(grade, response):
    assert grade(ReActFormat(), response) == 0.0


def test_the_prompt_may_have_opened_the_thinking(grade):
    assert grade(ReActFormat(think_opened=True), GOOD.removeprefix("<think>")) == 1.0
