"""Rows with tools under every agent template: what the model reads, what is trained of it, and what is refused."""

from __future__ import annotations

import json

import pytest

from swift_core.assemble.data.load import load_data
from swift_core.assemble.data.read import read_data
from swift_core.assemble.encoder import LightEncoder
from swift_core.assemble.generate import prompt_ids
from swift_core.errors import SwiftError
from swift_core.plugins.registry import installed

NAMES = ("hermes", "react_en", "react_zh", "toolbench", "qwen", "llama3")
JOINING = ("react_en", "react_zh", "qwen")
"""Those that write results into the answer."""

TOOL = {"name": "weather", "description": "tells it", "parameters": {"type": "object", "properties": {}}}
CALL = {"name": "weather", "arguments": {"city": "Paris"}}
ROW = {
    "conversations": [
        {"from": "human", "value": "hello there"},
        {"from": "gpt", "value": "which city"},
        {"from": "human", "value": "the one"},
        {"from": "function_call", "value": json.dumps(CALL)},
        {"from": "observation", "value": '{"sky": "blue"}'},
        {"from": "gpt", "value": "it is blue"},
        {"from": "human", "value": "thanks"},
        {"from": "gpt", "value": "welcome"},
    ],
    "tools": json.dumps([TOOL]),
}
"""The shape of ShareGPT data with tools, as it is handed around."""

HERMES_CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
REACT_CALL = 'Action: weather\nAction Input: {"city": "Paris"}'
WRITTEN = {
    "hermes": [HERMES_CALL + "<|im_end|>", "it is blue<|im_end|>"],
    "react_en": [f"{REACT_CALL}\nObservation:", "it is blue<|im_end|>"],
    "react_zh": [f"{REACT_CALL}\nObservation:", "it is blue<|im_end|>"],
    "toolbench": [REACT_CALL + "<|im_end|>", "it is blue<|im_end|>"],
    "qwen": ['✿FUNCTION✿: weather\n✿ARGS✿: {"city": "Paris"}\n✿RESULT✿:', " it is blue<|im_end|>"],
    "llama3": ['{"name": "weather", "parameters": {"city": "Paris"}}<|im_end|>', "it is blue<|im_end|>"],
}
"""What the model learns to write of the call and of the answer after it, by hand."""

READ = {
    "hermes": '<|im_start|>user\n<tool_response>\n{"sky": "blue"}\n</tool_response><|im_end|>\n<|im_start|>assistant\n',
    "react_en": ' {"sky": "blue"}\n',
    "react_zh": ' {"sky": "blue"}\n',
    "toolbench": '<|im_start|>tool\n{"sky": "blue"}<|im_end|>\n<|im_start|>assistant\n',
    "qwen": ' {"sky": "blue"}\n✿RETURN✿:',
    "llama3": '<|im_start|>tool\n{"sky": "blue"}<|im_end|>\n<|im_start|>assistant\n',
}
"""What stands between the two, and is only read."""

every_template = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def encoder(chatml_folder):
    return LightEncoder.open(chatml_folder)


def runs(encoder, row):
    """Return [(text, is trained)] of the runs of tokens alike."""
    found = []
    for token, label in zip(row["input_ids"], row["labels"], strict=True):
        if found and found[-1][1] == (label != -100):
            found[-1][0].append(token)
        else:
            found.append(([token], label != -100))
    return [(encoder.decode(tokens), is_trained) for tokens, is_trained in found]


def load(plan_of, write_rows, encoder, row, name, **train):
    write_rows("train.jsonl", row)
    return load_data(plan_of({"dataset": "train.jsonl", "agent_template": name}, **train), encoder).train[0]


@every_template
def test_calls_and_answers_are_trained_and_nothing_that_others_say(plan_of, write_rows, encoder, name):
    found = runs(encoder, load(plan_of, write_rows, encoder, ROW, name))
    trained = [text for text, is_trained in found if is_trained]
    assert trained == ["which city<|im_end|>", *WRITTEN[name], "welcome<|im_end|>"]
    read = [text for text, is_trained in found if not is_trained]
    assert "weather" in read[0]
    assert "tells it" in read[0]
    assert read[0].startswith("<|im_start|>system\n")
    between = "\n" + READ[name] if name not in JOINING else READ[name]
    assert read[2] == between


@every_template
def test_what_is_trained_of_a_call_is_read_back_by_the_template(plan_of, write_rows, encoder, name):
    registry = installed()
    template = registry.load(next(spec for spec in registry.specs("agent_template") if spec.name == name))()
    found = runs(encoder, load(plan_of, write_rows, encoder, ROW, name))
    trained = [text.removesuffix("<|im_end|>") for text, is_trained in found if is_trained]
    parsed = [call for text in trained for call in template.parse_calls(text)]
    assert parsed == [CALL]


@every_template
def test_the_last_round_begins_at_the_last_question_and_not_at_a_result(plan_of, write_rows, encoder, name):
    turns = {**ROW, "conversations": ROW["conversations"][:6]}
    row = load(plan_of, write_rows, encoder, turns, name, loss_scale="last_round")
    assert [text for text, is_trained in runs(encoder, row) if is_trained] == WRITTEN[name]


@pytest.mark.parametrize(
    ("name", "scale", "heavy"),
    [
        ("react_en", "react", [f"{REACT_CALL}\nObservation:"]),
        ("react_zh", "react", [f"{REACT_CALL}\nObservation:"]),
        ("toolbench", "react", [REACT_CALL + "<|im_end|>"]),
        ("hermes", "hermes", [HERMES_CALL]),
        ("qwen", "qwen", [WRITTEN["qwen"][0]]),
    ],
)
def test_a_loss_scale_weighs_the_calls_that_a_template_writes(plan_of, write_rows, encoder, name, scale, heavy):
    row = load(plan_of, write_rows, encoder, ROW, name, loss_scale=scale)
    doubled: list[list[int]] = [[]]
    for token, weight in zip(row["input_ids"], row["loss_scale"], strict=True):
        if weight == 2:
            doubled[-1].append(token)
        elif doubled[-1]:
            doubled.append([])
    assert [encoder.decode(tokens) for tokens in doubled if tokens] == heavy
    ones = [t for t, weight in zip(row["input_ids"], row["loss_scale"], strict=True) if weight == 1]
    assert "it is blue" in encoder.decode(ones)


@every_template
def test_all_trains_no_result_inside_an_answer(plan_of, write_rows, encoder, name):
    found = runs(encoder, load(plan_of, write_rows, encoder, ROW, name, loss_scale="all"))
    read = "".join(text for text, is_trained in found if not is_trained)
    assert read == (READ[name] if name in JOINING else "")


@every_template
def test_a_call_that_says_no_is_read_only(plan_of, write_rows, encoder, name):
    silent = {"role": "assistant", "content": "", "loss": False, "tool_calls": [CALL]}
    turns = [{"role": "user", "content": "hello"}, silent, {"role": "tool", "content": "12"}]
    turns.append({"role": "assistant", "content": "it is blue"})
    row = load(plan_of, write_rows, encoder, {"messages": turns, "tools": [TOOL]}, name)
    assert [text.strip() for text, is_trained in runs(encoder, row) if is_trained] == ["it is blue<|im_end|>"]


@every_template
def test_an_answer_to_compare_may_follow_a_result(plan_of, write_rows, encoder, name):
    prompt = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "I look", "tool_calls": [CALL]},
        {"role": "tool", "content": "12"},
    ]
    write_rows("train.jsonl", {"prompt": prompt, "chosen": "it is", "rejected": "no", "tools": [TOOL]})
    (row,) = load_data(plan_of({"dataset": "train.jsonl", "agent_template": name}, stage="dpo"), encoder).train
    assert encoder.decode(row["chosen_ids"]).strip() == "it is<|im_end|>"
    assert encoder.decode(row["rejected_ids"]).strip() == "no<|im_end|>"
    assert "I look\n" in encoder.decode(row["prompt_ids"])


@every_template
def test_a_labelled_conversation_is_judged_by_what_follows_the_last_result(plan_of, write_rows, encoder, name):
    rows = [{**ROW, "conversations": ROW["conversations"][:6], "label": label} for label in (True, False)]
    rows[1]["conversations"] = [{"from": "human", "value": "two"}, {"from": "gpt", "value": "three"}]
    write_rows("train.jsonl", *rows)
    train = load_data(plan_of({"dataset": "train.jsonl", "agent_template": name}, stage="kto"), encoder).train
    answers = [encoder.decode(row["completion_ids"]).strip() for row in train]
    assert answers == ["it is blue<|im_end|>", "three<|im_end|>"]


@every_template
def test_a_prompt_that_ends_in_a_result_is_asked_as_it_is_trained(plan_of, write_rows, encoder, name):
    trained = load(plan_of, write_rows, encoder, {**ROW, "conversations": ROW["conversations"][:6]}, name)
    turns = [
        {"role": "user", "content": "hello there"},
        {"role": "assistant", "content": "which city"},
        {"role": "user", "content": "the one"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": '{"sky": "blue"}'},
    ]
    write_rows("prompts.jsonl", {"prompt": turns, "tools": [TOOL]})
    data = {"dataset": "train.jsonl", "val_dataset": "prompts.jsonl", "agent_template": name}
    (item,) = read_data(plan_of(data)).held_out
    asked = prompt_ids(encoder, item.record.prompt)
    assert asked == trained["input_ids"][: len(asked)]
    assert encoder.decode(trained["input_ids"][len(asked) :]).strip() == "it is blue<|im_end|>"


def refusal(plan_of, write_rows, row, name="react_en"):
    plain = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    write_rows("train.jsonl", plain, row)
    with pytest.raises(SwiftError) as caught:
        read_data(plan_of({"dataset": "train.jsonl", "agent_template": name}))
    return str(caught.value)


def test_what_a_template_cannot_write_is_said_with_the_row(plan_of, write_rows):
    orphan = [{"role": "user", "content": "a"}, {"role": "tool", "content": "12"}]
    orphan.append({"role": "assistant", "content": "b"})
    said = refusal(plan_of, write_rows, {"messages": orphan})
    refused = "The agent template 'react_en' of swift-core cannot write the row: "
    assert f"train.jsonl:2:1: error[agent-template-row]: {refused}" in said
    assert "turn 2 is what a tool answered, and no assistant's turn stands before it" in said
    text = {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": "plain"}]}
    said = refusal(plan_of, write_rows, {"messages": [orphan[0], text]})
    assert "the call of 'f' must have arguments that are an object, got 'plain'" in said
    odd = {"role": "assistant", "content": "", "tool_calls": [{"name": " f", "arguments": {}}]}
    assert "does not read back the call of ' f'" in refusal(plan_of, write_rows, {"messages": [orphan[0], odd]})
    weighed = [
        orphan[0],
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        orphan[1],
        {"role": "assistant", "content": "b", "weight": 0.5},
    ]
    assert "turn 4 has another weight than the turn that called" in refusal(plan_of, write_rows, {"messages": weighed})
    assert "a tool has no name" in refusal(plan_of, write_rows, {"messages": orphan[::2], "tools": [{"x": 1}]})


def test_plain_text_has_no_place_for_tools(plan_of, write_rows):
    write_rows("train.jsonl", {"prompt": "a", "completion": "b", "tools": [TOOL]})
    with pytest.raises(SwiftError, match="tools are offered in a system message, and the row's prompt is plain text"):
        read_data(plan_of({"dataset": "train.jsonl", "agent_template": "hermes"}))


def test_a_template_without_rows_to_write_is_told(plan_of, write_rows):
    write_rows("train.jsonl", {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})
    plan = plan_of({"dataset": "train.jsonl", "agent_template": "hermes"})
    assert read_data(plan).notes == ("agent template hermes: no row has tools or calls, so it writes nothing",)


BROKEN = """
class Raises:
    results_role = "user"
    def format_tools(self, tools, system): raise KeyError("name")
    def format_calls(self, calls): return None
    def format_results(self, results): return ""
    def parse_calls(self, text): return []

class Silent(Raises):
    def format_tools(self, tools, system): return system
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [("Raises", "format_tools raised KeyError: 'name'"), ("Silent", "format_calls must return text, got NoneType")],
)
def test_a_broken_template_is_named_with_its_place(plan_of, write_rows, tmp_path, name, said):
    (tmp_path / "broken.py").write_text(BROKEN)
    write_rows("train.jsonl", ROW)
    plan = plan_of({"dataset": "train.jsonl", "agent_template": f"./broken.py:{name}"}, allow_code=True)
    with pytest.raises(SwiftError, match=said) as caught:
        read_data(plan)
    assert caught.value.problems[0].code == "agent-template-failed"
    assert caught.value.problems[0].place.file == str(tmp_path / "run.yaml")


def test_a_chat_template_that_drops_results_is_refused(plan_of, write_rows, encoders):
    with pytest.raises(SwiftError, match="writes nothing of the system message that offers tools, 'You have access"):
        load(plan_of, write_rows, encoders["mistral"], ROW, "llama3")
    bare = {key: value for key, value in ROW.items() if key != "tools"}
    with pytest.raises(SwiftError, match=r"writes nothing of what a tool answered, '{\"sky\": \"blue\"}'"):
        load(plan_of, write_rows, encoders["mistral"], bare, "llama3")
