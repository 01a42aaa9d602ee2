import re

import pytest

from swift_core.demo import corpus


def question_of(row):
    turns = row.get("messages") or row.get("prompt") or row["text"]
    return turns.removesuffix("\n") if isinstance(turns, str) else turns[0]["content"]


@pytest.mark.parametrize("name", corpus.NAMES)
def test_rows_are_distinct_and_always_the_same(name):
    rows = corpus.rows(name)
    assert rows == corpus.rows(name)
    assert len(rows) == len({question_of(row) for row in rows}) * (3 if name.startswith("steps") else 1)
    assert len(rows) >= (32 if name.endswith("-heldout") else 150)


def test_no_held_out_question_is_in_any_training_set():
    trained = {question_of(row) for name in corpus.NAMES if "heldout" not in name for row in corpus.rows(name)}
    held_out = {question_of(row) for name in corpus.NAMES if "heldout" in name for row in corpus.rows(name)}
    assert held_out
    assert not trained & held_out


@pytest.mark.parametrize("name", ["preference", "prompts-heldout"])
def test_the_ground_truth_of_an_addition_is_its_sum(name):
    for row in corpus.rows(name):
        left, right = map(int, re.findall(r"\d+", question_of(row)))
        assert row["ground_truth"] == str(left + right)


def test_a_preference_is_the_bare_box_before_the_sentence():
    row = next(row for row in corpus.rows("preference") if question_of(row) == "What is 8 + 2?")
    assert row["chosen"] == [{"role": "assistant", "content": r"\boxed{10}"}]
    assert row["rejected"] == [{"role": "assistant", "content": r"The answer is \boxed{10}."}]


def test_held_out_chats_all_expect_the_sentence():
    answers = [row["messages"][-1]["content"] for row in corpus.rows("chat-heldout")]
    assert all(re.fullmatch(r"The answer is \\boxed\{.+\}\.", answer) for answer in answers)


def test_some_training_chats_answer_with_the_bare_box():
    answers = [row["messages"][-1]["content"] for row in corpus.rows("chat")]
    assert 0.05 < sum(answer.startswith(r"\boxed") for answer in answers) / len(answers) < 0.25


def test_a_system_message_decides_how_documents_answer():
    systems = {}
    for turns in corpus.documents(300, seed=3):
        if turns[0]["role"] == "system":
            systems.setdefault(turns[0]["content"], set()).add(turns[-1]["content"].partition("{")[0])
    assert systems == {corpus.ASK_SENTENCE: {r"The answer is \boxed"}, corpus.ASK_BOX: {r"\boxed"}}


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"demo:chats is not a demo data set; there are demo:chat, "):
        corpus.rows("chats")


def test_a_class_is_the_family_of_its_question():
    labels = {}
    for row in corpus.rows("classes"):
        labels.setdefault(row["label"], set()).add(row["text"].split()[0])
    assert labels == {
        "addition": {"What", "How", "Work"},
        "colour": {"What", "Name"},
        "opposite": {"What", "Say"},
        "last": {"Which"},
        "reversal": {"Reverse"},
    }


@pytest.mark.parametrize("name", ["steps", "steps-heldout"])
def test_a_step_is_labelled_right_when_it_states_the_sum(name):
    for row in corpus.rows(name):
        total = sum(map(int, re.findall(r"\d+", row["prompt"])))
        stated = [int(re.findall(r"\d+", step)[-1]) for step in row["completions"]]
        assert row["labels"] == [number == total for number in stated]
    assert {tuple(row["labels"]) for row in corpus.rows(name)} == {(True, True), (True, False), (False, False)}
