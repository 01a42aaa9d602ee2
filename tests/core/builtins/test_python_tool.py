"""The Python tool: which program of a turn is run, and what the model is told of it."""

import json

import pytest

from swift_core.builtins.multi_turns.python_tool import PythonTool
from swift_core.contracts.multi_turn import Conversation


def said(response):
    return Conversation(
        messages=[{"role": "assistant", "content": response}], response=response, turn=1, ground_truth=None, columns={}
    )


def told(tool, *responses):
    return [None if turns is None else turns[0]["content"] for turns in tool([said(r) for r in responses])]


def test_the_last_program_is_run_and_a_turn_without_one_ends_the_conversation():
    both = "First\n```python\nprint(1)\n```\nor\n```python\nprint(3 + 4)\n```\n"
    assert told(PythonTool(), both, "It is 7.", "```text\nprint(1)\n```") == ["7", None, None]


def test_the_model_is_told_how_a_program_ended():
    crash, silent = "```python\nprint(1)\n1 / 0\n```", "```python\nx = 1\n```"
    assert told(PythonTool(), crash, silent) == [
        "1\nerror: ZeroDivisionError: division by zero",
        "(nothing was printed)",
    ]
    (slow,) = told(PythonTool(timeout=0.5), "```python\nwhile True: pass\n```")
    assert slow.startswith("error: timeout after")


def test_long_output_is_cut_in_the_middle():
    (shown,) = told(PythonTool(max_characters=10), "```python\nprint('a' * 50 + 'b' * 50)\n```")
    assert shown == "aaaaa\n[...]\nbbbbb"


def call(**tool):
    return f"<tool_call>\n{json.dumps(tool)}\n</tool_call>"


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (call(name="python", arguments={"code": "print(2 ** 5)"}), "32"),
        (call(name="search", arguments={}), "error: there is no tool 'search', only 'python'"),
        (call(name="python", arguments={"program": "1"}), "error: the tool 'python' takes a text `code`"),
        (call(name="python"), "error: the tool 'python' takes a text `code`"),
        ("<tool_call>[1]</tool_call>", "error: there is no tool None, only 'python'"),
        ("```python\nprint(1)\n```", None),
    ],
)
def test_calls_are_read_as_hermes_models_write_them(response, answer):
    assert told(PythonTool(calls="tool_call", role="tool"), response) == [answer]


def test_a_call_that_is_no_json_is_told():
    (answer,) = told(PythonTool(calls="tool_call"), "<tool_call>{name: python}</tool_call>")
    assert answer.startswith("error: the call is no JSON: ")


def test_programs_read_no_files_of_the_machine():
    program = "```python\nprint(open('/etc/passwd').read())\n```"
    (answer,) = told(PythonTool(), program)
    assert "root" not in answer
    assert "error: PermissionError" in answer


@pytest.mark.parametrize("option", ["timeout", "memory", "max_characters"])
def test_limits_are_positive(option):
    with pytest.raises(ValueError, match=f"{option} must be > 0"):
        PythonTool(**{option: 0})
