"""Rows written by hand, and what each must become."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def human(value):
    return {"from": "human", "value": value}


def gpt(value):
    return {"from": "gpt", "value": value}


ROWS = {
    "messages": {"messages": [user("q"), assistant("a")]},
    "messages of trl": {"prompt": "q", "prompt_id": "1", "messages": [user("q"), assistant("a")]},
    "messages called conversations": {"conversations": [user("q"), assistant("a")]},
    "messages in a table": {"messages": '[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]'},
    "sharegpt": {"conversations": [human("q"), gpt("a")], "system": "s"},
    "sharegpt pair": {"conversations": [human("q")], "chosen": gpt("a"), "rejected": gpt("b")},
    "alpaca": {"instruction": "q", "input": "", "output": "a"},
    "alpaca pair": {"instruction": "q", "chosen": "a", "rejected": "b"},
    "text": {"text": "once upon a time", "source": "book"},
    "prompt_completion": {"prompt": "q", "completion": "a"},
    "prompt_completion turns": {"prompt": [user("q")], "completion": [assistant("a")]},
    "preference": {"prompt": "q", "chosen": "a", "rejected": "b"},
    "preference implicit": {"chosen": "q a", "rejected": "q b"},
    "preference turns": {"prompt": [user("q")], "chosen": [assistant("a")], "rejected": [assistant("b")]},
    "preference of ultrafeedback": {
        "prompt": "q",
        "messages": [user("q"), assistant("a")],
        "chosen": [user("q"), assistant("a")],
        "rejected": [user("q"), assistant("b")],
    },
    "preference of ms-swift": {"messages": [user("q"), assistant("a")], "rejected_response": "b"},
    "preference of messages": {
        "messages": [user("q"), assistant("a")],
        "rejected_messages": [user("q"), assistant("b")],
    },
    "preference after messages": {"messages": [user("q")], "chosen": assistant("a"), "rejected": assistant("b")},
    "prompt": {"prompt": "q", "ground_truth": "a"},
    "prompt turns": {"prompt": [user("q")], "answer": "a"},
    "question_answer": {"question": "q", "answer": "a"},
    "text with a class": {"text": "once", "label": "tale"},
    "prompt with a class": {"prompt": "once", "label": 3},
    "stepwise": {"prompt": "q", "completions": ["a", "b"], "labels": [True, False]},
    "stepwise of turns": {"prompt": [user("q")], "completions": ["a", "b"], "labels": [0.5, None]},
    "first_error of processbench": {"id": "1", "generator": "g", "problem": "q", "steps": ["a", "b"], "label": -1},
    "first_error of bigbench": {"task": "t", "input": "q", "steps": ["a"], "answer": "2", "mistake_index": 0},
    "messages with images": {"messages": [user("<image>q"), assistant("a")], "images": ["a.png"]},
    "messages with boxes": {
        "messages": [user("q"), assistant("<bbox>")],
        "images": "a.png",
        "objects": {"ref": [], "bbox": [[0, 0, 1, 1]]},
    },
    "sharegpt of llava": {"id": "1", "image": "a.png", "conversations": [human("<image>\nq"), gpt("a")]},
    "alpaca with images": {"instruction": "q", "input": "", "output": "a", "images": ["a.png"]},
    "preference with images": {"prompt": [user("q")], "chosen": "a", "rejected": "b", "images": ["a.png"]},
    "vqa": {"question": "q", "answer": "a", "image": "a.png"},
    "vqa with several answers": {"question": "q", "answers": ["b", "a", "a"], "image": {"bytes": b"x", "path": None}},
    "vqa of vqav2": {"question": "q", "answers": [{"answer": "a", "answer_id": 1}], "image": "a.png"},
    "caption": {"image": "a.png", "caption": "a cat"},
    "caption called text": {"image": "a.png", "text": "a cat"},
    "caption with a prompt": {"image": "a.png", "prompt": "Describe it.", "caption": "a cat"},
    "grounding": {"image": "a.png", "objects": {"ref": ["a cat"], "bbox": [[0, 0, 1, 1]]}},
    "first_error without a mistake": {"input": "q", "steps": ["a"], "answer": "1", "mistake_index": None},
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_exactly_one_format_claims_the_row(formats, name):
    claiming = [known for known, format_ in formats.items() if format_.matches(ROWS[name])]
    assert claiming == [name.split()[0]]


@pytest.mark.parametrize(
    "name", [name for name in ROWS if name.startswith(("messages", "alpaca", "sharegpt", "question"))]
)
def test_conversations_become_prompt_and_answer(formats, name):
    record = formats[name.split()[0]].record(ROWS[name], "f:1")
    assert record.prompt[-1]["content"].endswith("q")
    assert record.prompt[-1]["role"] == "user"
    if "boxes" in name:
        assert record.completion == [assistant("<bbox>")]
    elif "pair" in name:
        assert (record.completion, record.chosen, record.rejected) == (None, [assistant("a")], [assistant("b")])
    else:
        assert (record.completion, record.chosen, record.rejected) == ([assistant("a")], None, None)
    assert record.where == "f:1"
    assert record.columns == ROWS[name]


@pytest.mark.parametrize("name", [name for name in ROWS if name.startswith("preference")])
def test_pairs_become_prompt_chosen_and_rejected(formats, name):
    record = formats["preference"].record(ROWS[name], "f:1")
    if isinstance(record.prompt, str):
        assert (record.prompt, record.chosen.strip(), record.rejected.strip()) == ("q", "a", "b")
    else:
        assert (record.prompt, record.chosen, record.rejected) == ([user("q")], [assistant("a")], [assistant("b")])
    assert record.completion is None


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt"),
    [
        ("The sky is blue.", "The sky is green.", "The sky is"),
        ("The sky is blue.", "The sky is black.", "The sky is bl"),
        ("a", "b", ""),
        ("the end", "the end of it", "the end"),
    ],
)
def test_implicit_prompt_is_the_common_start_before_a_space(formats, chosen, rejected, prompt):
    record = formats["preference"].record({"chosen": chosen, "rejected": rejected}, "f:1")
    assert record.prompt == prompt
    assert (record.prompt + record.chosen, record.prompt + record.rejected) == (chosen, rejected)


@given(chosen=st.text("ab ", max_size=8), rejected=st.text("ab ", max_size=8))
def test_implicit_prompt_loses_no_character(formats, chosen, rejected):
    if chosen == rejected:
        with pytest.raises(ValueError, match="the same text"):
            formats["preference"].record({"chosen": chosen, "rejected": rejected}, "f:1")
        return
    record = formats["preference"].record({"chosen": chosen, "rejected": rejected}, "f:1")
    assert (record.prompt + record.chosen, record.prompt + record.rejected) == (chosen, rejected)
    assert not record.prompt.endswith(" ") or record.prompt.endswith("  ") or record.chosen[:1] == " "


def test_conversation_starts_to_be_answered_at_its_first_trained_turn(formats):
    turns = [user("a"), assistant("b") | {"loss": False}, user("c"), assistant("d"), user("e"), assistant("f")]
    record = formats["messages"].record({"messages": turns}, "f:1")
    assert record.prompt == turns[:3]
    assert record.completion == turns[3:]


def test_conversation_without_an_answer_is_a_prompt(formats):
    record = formats["messages"].record({"messages": [user("2+2?")], "solution": "4"}, "f:1")
    assert (record.prompt, record.completion, record.ground_truth) == ([user("2+2?")], None, "4")


def test_tool_calls_of_openai_get_their_arguments_parsed(formats):
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    turns = [user("q"), {"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "content": "2"}]
    record = formats["messages"].record({"messages": turns, "tools": '[{"name": "add", "parameters": {}}]'}, "f:1")
    assert record.completion[0]["tool_calls"][0]["function"] == {"name": "add", "arguments": {"a": 1}}
    assert record.completion[0]["content"] == ""
    assert record.tools == ({"type": "function", "function": {"name": "add", "parameters": {}}},)


def test_function_calls_of_sharegpt_become_tool_calls(formats):
    call = {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 1}}'}
    row = {"conversations": [human("q"), call, {"from": "observation", "value": "2"}, gpt("it is 2")], "tools": "[]"}
    record = formats["sharegpt"].record(row, "f:1")
    assert [turn["role"] for turn in record.completion] == ["assistant", "tool", "assistant"]
    function = {"name": "add", "arguments": {"a": 1}}
    assert record.completion[0]["tool_calls"] == [{"type": "function", "function": function}]


def test_turns_of_sharegpt_keep_their_own_loss_and_weight(formats):
    call = {"from": "function_call", "value": '{"name": "f", "arguments": {}}', "loss": False}
    row = {"conversations": [human("a"), call, {**gpt("b"), "weight": 0.5}, human("c"), {**gpt("d"), "loss": True}]}
    record = formats["sharegpt"].record(row, "x:1")
    turns = [*record.prompt, *record.completion]
    assert [(turn.get("loss"), turn.get("weight")) for turn in turns] == [
        (None, None), (False, None), (None, 0.5), (None, None), (True, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mark", "message"),
    [({"loss": "no"}, r"\[1\]\.loss must be true or false"), ({"weight": -1}, r"\[1\]\.weight must be a finite")],
)
def test_marks_of_sharegpt_turns_are_checked(formats, mark, message):
    with pytest.raises(ValueError, match=message):
        formats["sharegpt"].record({"conversations": [human("a"), {**gpt("b"), **mark}]}, "x:1")


def test_alpaca_joins_input_history_and_system(formats):
    row = {"instruction": "Add.", "input": "1 2", "output": "3", "system": "s", "history": [["hi", "hello"]]}
    record = formats["alpaca"].record(row, "f:1")
    assert record.prompt == [{"role": "system", "content": "s"}, user("hi")]
    assert record.completion == [assistant("hello"), user("Add.\n1 2"), assistant("3")]


@pytest.mark.parametrize(
    ("name", "row", "truth"),
    [
        ("question_answer", {"question": "q", "answer": "2+2=4\n#### 4"}, "4"),
        ("question_answer", {"question": "q", "answer": "four"}, None),
        ("question_answer", {"question": "q", "answer": "#### 4", "ground_truth": "5"}, "5"),
        ("prompt_completion", {"prompt": "q", "completion": "so\n#### 1,000"}, "1,000"),
        ("prompt", {"prompt": "q", "solution": 7}, "7"),
        ("prompt", {"prompt": "q", "answer": "8"}, "8"),
        ("preference", {"prompt": "q", "chosen": "a", "rejected": "b", "ground_truth": "a"}, "a"),
    ],
)
def test_ground_truth_is_found(formats, name, row, truth):
    assert formats[name].record(row, "f:1").ground_truth == truth


@pytest.mark.parametrize("value", [True, "true", 1])
def test_labels_are_read_as_the_field_writes_them(formats, value):
    assert formats["messages"].record({"messages": [user("q"), assistant("a")], "label": value}, "f:1").label is True
    assert (
        formats["prompt_completion"].record({"prompt": "q", "completion": "a", "kto_tag": value}, "f:1").label is True
    )


def test_margin_is_a_number(formats):
    row = {"prompt": "q", "chosen": "a", "rejected": "b", "margin": "0.5"}
    assert formats["preference"].record(row, "f:1").margin == 0.5
    with pytest.raises(ValueError, match="margin must be a number, got 'much'"):
        formats["preference"].record(row | {"margin": "much"}, "f:1")


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        (
            "messages",
            {"messages": [{"role": "bot", "content": "x"}]},
            r"messages\[0\]\.role must be one of .*, got 'bot'",
        ),
        ("messages", {"messages": [{"role": "user", "content": 3}]}, r"messages\[0\]\.content must be text, got 3"),
        (
            "messages",
            {"messages": [user("q"), {"role": "assistant"}]},
            r"messages\[1\]\.content must be text, got nothing",
        ),
        ("messages", {"messages": [user("q") | {"loss": "no"}]}, r"messages\[0\]\.loss must be true or false"),
        ("messages", {"messages": [user("q")], "tools": "{"}, "tools is not valid JSON"),
        ("stepwise", {"prompt": "q", "completions": ["a"], "labels": [True, False]}, "are 1 completions and 2 labels"),
        ("stepwise", {"prompt": "q", "completions": ["a"], "labels": [2]}, r"labels\[0\] must be true, false, null or"),
        ("stepwise", {"prompt": "q", "completions": ["a"]}, "labels must be a list, one for each of 1 completions"),
        (
            "stepwise",
            {"prompt": "q", "completions": ["a", ""], "labels": [1, 1]},
            "completions must be a list of steps",
        ),
        (
            "first_error",
            {"problem": "q", "steps": ["a"], "label": 1},
            "label must be the index of a step, 0 to 0, or -1",
        ),
        ("first_error", {"problem": "q", "steps": ["a"], "label": True}, "label must be the index of a step"),
        ("first_error", {"input": "q", "steps": [], "mistake_index": None}, "steps must be a list of steps as text"),
        ("first_error", {"steps": ["a"], "label": 0}, "problem must be text, got nothing"),
        ("sharegpt", {"conversations": [{"from": "alien", "value": "x"}]}, r"conversations\[0\]\.from must be one of"),
        ("sharegpt", {"conversations": [{"from": "function_call", "value": "x"}]}, "must be tool calls"),
        (
            "alpaca",
            {"instruction": "q", "output": "a", "history": [["one"]]},
            r"history\[0\] must be a question and an",
        ),
        ("alpaca", {"instruction": "q", "output": 4}, "output must be text, got 4"),
        ("text", {"text": "  "}, "text is empty"),
        ("preference", {"messages": [user("q")], "rejected_response": "b"}, "must end with the chosen assistant turn"),
        ("preference", {"chosen": [assistant("a")], "rejected": [assistant("b")]}, None),
    ],
)
def test_what_is_wrong_in_a_row_is_said(formats, name, row, message):
    if message is None:
        with pytest.raises(ValueError, match="must start with the same turns"):
            formats[name].record(row, "f:1")
        return
    with pytest.raises(ValueError, match=message):
        formats[name].record(row, "f:1")


KEYS = ["role", "content", "from", "value", "type", "image", "bytes", "path", "ref", "bbox", "images"]

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=6,
)
COLUMNS = """messages conversations prompt completion chosen rejected text instruction output label question answer
tools history rejected_response rejected_messages margin system input image images caption answers objects"""
columns = st.sampled_from(COLUMNS.split())


@given(row=st.dictionaries(columns, plain, max_size=5))
def test_no_row_gives_a_traceback(formats, row):
    row = {name: value for name, value in row.items() if value is not None}
    for format_ in formats.values():
        if format_.matches(row):
            with contextlib.suppress(ValueError):  # anything else is a bug
                format_.record(row, "f:1")


def test_a_label_of_another_make_is_no_verdict_on_the_completion(formats):
    for label in ("good", 3, ["a", "b"], 0.5):
        record = formats["messages"].record({"messages": [user("q"), assistant("a")], "label": label}, "w")
        assert record.label is None
        assert record.columns["label"] == label


def test_labels_of_steps_are_how_right_they_are(formats):
    row = {"prompt": "q", "completions": ["a", "b", "c", "d"], "labels": [True, False, 0.25, None]}
    record = formats["stepwise"].record(row, "w")
    assert (record.prompt, record.steps, record.step_labels) == ("q", ["a", "b", "c", "d"], [1.0, 0.0, 0.25, None])


@pytest.mark.parametrize(
    ("place", "labels"),
    [
        ({"label": -1}, [1.0, 1.0, 1.0]),
        ({"label": 0}, [0.0, None, None]),
        ({"label": 2}, [1.0, 1.0, 0.0]),
        ({"mistake_index": None}, [1.0, 1.0, 1.0]),
        ({"mistake_index": 1.0}, [1.0, 0.0, None]),
    ],
)
def test_steps_before_the_first_wrong_one_are_right_and_those_after_it_not_judged(formats, place, labels):
    record = formats["first_error"].record({"problem": "q", "steps": ["a", "b", "c"], **place}, "w")
    assert record.prompt == "q\n"
    assert record.step_labels == labels


@pytest.mark.parametrize("name", [name for name in ROWS if name.startswith("vqa")])
def test_questions_about_images_are_answered_by_what_most_people_said(formats, name):
    record = formats["vqa"].record(ROWS[name], "w")
    assert (record.prompt, record.completion, record.ground_truth) == ([user("q")], [assistant("a")], "a")


def test_a_caption_answers_its_image(formats):
    record = formats["caption"].record(ROWS["caption with a prompt"], "w")
    assert (record.prompt, record.completion) == ([user("Describe it.")], [assistant("a cat")])
    assert formats["caption"].record(ROWS["caption"], "w").prompt == [user("")]
    with pytest.raises(ValueError, match="caption must be one text; of an image with several, make several rows"):
        formats["caption"].record({"image": "a.png", "caption": ["a", "b"]}, "w")


def test_things_and_boxes_become_a_question_and_its_answer(formats):
    row = {"image": "a.png", "objects": {"ref": ["a cat", "a dog"], "bbox": [[0, 0, 1, 1], [1, 1, 2, 2]]}}
    record = formats["grounding"].record(row, "w")
    assert record.prompt[0]["content"].count("<ref-object>") == 2
    assert record.completion == [assistant("<ref-object>: <bbox>\n<ref-object>: <bbox>")]
    assert record.objects["ref"] == ["a cat", "a dog", "a cat", "a dog"]
    several = {"image": "a.png", "objects": {"ref": ["cats"], "bbox": [[0, 0, 1, 1], [1, 1, 2, 2]]}}
    assert formats["grounding"].record(several, "w").completion == [assistant("<bbox>, <bbox>")]
    with pytest.raises(ValueError, match="2 things and 3 boxes"):
        formats["grounding"].record({"image": "a", "objects": {"ref": ["a", "b"], "bbox": [[0]] * 3}}, "w")


def test_parts_of_a_content_become_marks_with_their_images(formats):
    parts = [
        {"type": "text", "text": "left "},
        {"type": "image_url", "image_url": {"url": "https://a.example/1.png"}},
        {"type": "text", "text": " right "},
        {"type": "image", "text": None},
        {"type": "image", "image": "b.png"},
    ]
    (turn,) = formats["messages"].record({"messages": [user(parts)]}, "w").prompt
    assert turn["content"] == "left <image> right <image><image>"
    assert [image and (image.url or image.path) for image in turn["images"]] == [
        "https://a.example/1.png",
        None,
        "b.png",
    ]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"type": "video", "video": "v.mp4"}, r"content\[0\] is video: name it in the column videos"),
        ({"type": "hologram"}, r"content\[0\] must have type text with text, or type image"),
        ({"type": "image", "image": {"path": ""}}, r"content\[0\]\.image must be an image"),
        ({"type": "image", "image": "ftp://a/b.png"}, "must be a path or an http"),
        ({"type": "image", "image": "data:text/html,x"}, "must be data:image/..., got data:text/html"),
        ({"type": "image", "base64": "!"}, "is no base64 text"),
    ],
)
def test_what_is_wrong_in_a_part_is_said(formats, part, message):
    with pytest.raises(ValueError, match=message):
        formats["messages"].record({"messages": [user([part])]}, "w")
