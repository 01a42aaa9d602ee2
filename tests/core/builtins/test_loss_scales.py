"""Loss scales: where the weights fall, read off the pieces."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_core.builtins.loss_scales._pieces import weighed
from swift_core.builtins.loss_scales.ignore_empty_think import IgnoreEmptyThink
from swift_core.builtins.loss_scales.patterns import Patterns
from swift_core.builtins.loss_scales.react import React
from swift_core.builtins.loss_scales.tool_calls import Hermes, Qwen
from swift_core.contracts.models import building_in


def pieces(scale, text):
    return list(zip(*scale.get_loss_scale(text, "response", True), strict=True))


def test_react_doubles_the_action_and_leaves_the_observation_out():
    text = "Thought: look\nAction: search\nAction Input: {}\nObservation: found\nFinal Answer: 3"
    assert pieces(React(), text) == [
        ("Thought: look\n", 1.0),
        ("Action: search\nAction Input: {}\nObservation:", 2.0),
        (" found\n", 0.0),
        ("Final Answer: 3", 1.0),
    ]


def test_only_an_empty_thinking_block_is_left_out():
    assert pieces(IgnoreEmptyThink(), "<think>\n\n</think>\n\nyes") == [("<think>\n\n</think>\n\n", 0.0), ("yes", 1.0)]
    assert pieces(IgnoreEmptyThink(), "<think>a</think>yes") == [("<think>a</think>yes", 1.0)]


def test_each_call_of_hermes_counts_and_the_words_between_do_not():
    text = "a<tool_call>\n1</tool_call>b<tool_call>2</tool_call>"
    assert pieces(Hermes(call_weight=3.0), text) == [
        ("a", 1.0), ("<tool_call>\n1</tool_call>", 3.0), ("b", 1.0), ("<tool_call>2</tool_call>", 3.0),
    ]  # fmt: skip


def test_what_a_tool_of_qwen_returns_is_not_trained():
    text = "✿FUNCTION✿: f\n✿ARGS✿: {}\n✿RESULT✿: 4\n✿RETURN✿: done"
    assert pieces(Qwen(), text) == [
        ("✿FUNCTION✿: f\n✿ARGS✿: {}\n✿RESULT✿:", 2.0), (" 4\n", 0.0), ("✿RETURN✿: done", 1.0),
    ]  # fmt: skip


def test_patterns_come_from_the_run_file_or_from_a_file(tmp_path):
    path = tmp_path / "weights.json"
    path.write_text(json.dumps({"Answer:": [3.0, 0.5], "[0-9]+": [2.0]}))
    text = "x 12 Answer: y"
    expected = [("x ", 1.0), ("12", 2.0), (" ", 1.0), ("Answer:", 3.0), (" y", 0.5)]
    assert pieces(Patterns(file=str(path)), text) == expected
    assert pieces(Patterns(marks={"Answer:": [3.0, 0.5]}, patterns={"[0-9]+": 2.0}), text) == expected
    (tmp_path / "weights.yaml").write_text("'Answer:': [3.0, 0.5]\n'[0-9]+': 2.0\n")
    assert pieces(Patterns(file=str(tmp_path / "weights.yaml")), text) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "got none"),
        ({"patterns": {"(": 1.0}}, "no regular expression"),
        ({"patterns": {"a": -1.0}}, "finite number >= 0, got -1.0"),
        ({"marks": {"a": [1, 2, 3]}}, "one weight or two"),
        ({"file": "nowhere.json"}, "cannot be read"),
    ],
)
def test_patterns_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        Patterns(**options)


@given(st.text(alphabet="ab:<>\n"), st.dictionaries(st.sampled_from(["a:", "b:"]), st.floats(0, 9)))
def test_pieces_joined_are_the_text_again(text, marks):
    parts, weights = weighed(text, marks, {"<b>": 2.0, "a+": 0.5})
    assert "".join(parts) == text
    assert len(parts) == len(weights)


def test_the_file_of_patterns_lies_beside_the_run_file(tmp_path):
    (tmp_path / "weights.yaml").write_text("'[0-9]+': 2.0\n")
    given_patterns = {"x": 3.0}
    with building_in(tmp_path):
        scale = Patterns(file="weights.yaml", patterns=given_patterns)
    assert pieces(scale, "x1") == [("x", 3.0), ("1", 2.0)]
    assert given_patterns == {"x": 3.0}
