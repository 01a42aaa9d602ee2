import pytest

from swift_core.plugin_api import InferRequest
from swift_reward_zoo.answer.toolbench import ToolBench

GOLD = 'Thought: look it up.\nAction: search\nAction Input: {"query": "cats", "limit": 3}'


@pytest.mark.parametrize(
    ("response", "truth"),
    [
        (GOLD, GOLD),
        ('Action: search\nAction Input: {\n "limit": 3.0,\n "query": "cats"}\nObservation: none', GOLD),
        (
            "Action: other\nAction Input: {}\nObservation: no\n" + GOLD,
            GOLD,
        ),
        ("Action: ask\nAction Input: what is  it", "Action: ask\nAction Input: what is it"),
        ("Action: ask\nAction Input: [1, 2]", "Action: ask\nAction Input: [1,2]"),
        (GOLD, '{"name": "search", "arguments": {"query": "cats", "limit": 3}}'),
        ("Action: end\nAction Input:", "Action: end\nAction Input:"),
    ],
)
def test_the_expected_action_scores_one(grade, response, truth):
    assert grade(ToolBench(), response, truth) == 1.0


@pytest.mark.parametrize(
    "response",
    [
        "",
        "Action: search",
        'Action: find\nAction Input: {"query": "cats", "limit": 3}',
        'Action: search\nAction Input: {"query": "dogs", "limit": 3}',
        'Action: search\nAction Input: {"query": "cats"}',
        GOLD + "\nAction: stop\nAction Input: {}",
        f"<think>{GOLD}",
        "He said Action: search",
    ],
)
def test_another_action_scores_zero(grade, response):
    assert grade(ToolBench(), response, GOLD) == 0.0


@pytest.mark.parametrize("truth", ["", "search", "Action: search", "7", None, "[]"])
def test_a_truth_without_an_action_is_refused_with_its_row(truth):
    requests = [InferRequest(messages=[], response=GOLD)] * 2
    with pytest.raises(ValueError, match=r"^ground truth of row 1 has no action: "):
        ToolBench()(requests, [GOLD, truth])
