import json
from pathlib import Path

import pytest

from swift_core.plugin_api import InferRequest, open_agent_template
from swift_reward_zoo.answer.toolcall import ToolCall

AREA = '{"name": "calculate_area", "arguments": {"shape": "circle", "dimensions": [4]}}'
NEWS = '{"name": "get_news", "arguments": {"topics": ["sports"], "location": "New York"}}'


def tagged(*calls):
    return "\n".join(f"<tool_call>\n{call}\n</tool_call>" for call in calls)


@pytest.mark.parametrize(
    ("response", "truth"),
    [
        (AREA, AREA),
        (tagged(AREA), AREA),
        (f"<think>Which tool?</think>I will look.\n{tagged(AREA)}", AREA),
        (f"```json\n{AREA}\n```", AREA),
        (f"[{AREA}, {NEWS}]", f"[{NEWS}, {AREA}]"),
        (tagged(AREA, NEWS), f"[{AREA}, {NEWS}]"),
        (AREA, tagged(AREA)),
        ('{"arguments": {"dimensions": [4.0], "shape": "circle"}, "name": "calculate_area"}', AREA),
        (AREA.replace('"arguments"', '"parameters"'), AREA),
        (
            json.dumps({"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}),
            '{"name": "f", "arguments": {"a": 1}}',
        ),
        ('{"name": "f"}', '{"name": "f", "arguments": {}}'),
        ("I need no tool.", "[]"),
        (AREA, json.loads(AREA)),
    ],
)
def test_the_expected_calls_score_one(grade, response, truth):
    assert grade(ToolCall(), response, truth) == 1.0


@pytest.mark.parametrize(
    ("response", "truth"),
    [
        ("", AREA),
        ("calculate_area", AREA),
        (NEWS, AREA),
        (AREA.replace("4", "5"), AREA),
        (AREA.replace("4", '"4"'), AREA),
        (tagged(AREA, AREA), AREA),
        (tagged(AREA, NEWS), AREA),
        (tagged(AREA), f"[{AREA}, {NEWS}]"),
        (f"<tool_call>{AREA}", AREA),
        ("<tool_call>calculate_area(4)</tool_call>" + tagged(AREA), AREA),
        (f"<think>{tagged(AREA)}", AREA),
        (tagged(AREA), "[]"),
        (AREA.replace('"circle"', '"circle", "unit": "m"'), AREA),
    ],
)
def test_other_calls_score_zero(grade, response, truth):
    assert grade(ToolCall(), response, truth) == 0.0


def test_order_counts_when_asked_for(grade):
    assert grade(ToolCall(ignore_order=False), f"[{AREA}, {NEWS}]", f"[{NEWS}, {AREA}]") == 0.0
    assert grade(ToolCall(ignore_order=False), f"[{AREA}, {NEWS}]", f"[{AREA}, {NEWS}]") == 1.0


def test_partial_credit_is_the_f1_of_names_and_arguments(grade):
    reward = ToolCall(partial=True)
    assert grade(reward, AREA, AREA) == 1.0
    assert grade(reward, AREA.replace("4", "5"), AREA) == pytest.approx(2 / 3)  # two of three facts on each side
    assert grade(reward, NEWS, AREA) == 0.0
    assert grade(reward, tagged(AREA, NEWS), AREA) == pytest.approx(2 * 3 / (6 + 3))
    assert grade(reward, tagged(AREA), "[]") == 0.0


@pytest.mark.parametrize(
    "truth", ["", "calculate_area", "7", '{"arguments": {}}', None, '{"name": "f", "arguments": [1]}']
)
def test_a_truth_without_a_call_is_refused_with_its_row(truth):
    requests = [InferRequest(messages=[], response=AREA)] * 2
    with pytest.raises(ValueError, match=r"^ground truth of row 1 holds no tool call: "):
        ToolCall()(requests, [AREA, truth])


@pytest.mark.parametrize("name", ["hermes", "react_en", "react_zh", "toolbench", "qwen", "llama3"])
def test_calls_are_read_by_the_agent_template_that_wrote_them(grade, name):
    template = open_agent_template(name, Path())
    made = [{"name": "area", "arguments": {"side": 7, "unit": "Action: m"}}, {"name": "clock", "arguments": {}}]
    answer = "I look it up.\n" + template.format_calls(made)
    reward = ToolCall(agent_template=name)
    assert grade(reward, answer, json.dumps(made)) == 1.0
    assert grade(reward, answer, json.dumps(made[:1])) == 0.0
    assert grade(ToolCall(agent_template=name, partial=True), answer, json.dumps(made[:1])) == pytest.approx(6 / 7)
    assert grade(reward, "It is noon.", "[]") == 1.0
    assert grade(reward, answer.replace("area", ""), json.dumps(made)) == 0.0


def test_an_unknown_agent_template_is_refused_when_the_reward_is_built():
    with pytest.raises(ValueError, match="no agent template named 'hermse'"):
        ToolCall(agent_template="hermse")
