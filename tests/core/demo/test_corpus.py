import re

import pytest

from swift_core.demo import corpus


def question_of(row):
    turns = row["messages"] if "messages" in row else row["prompt"]
    return turns[0]["content"]


@pytest.mark.parametrize("name", corpus.NAMES)
def test_rows_are_distinct_and_always_the_same(name):
    rows = corpus.rows(name)
    assert rows == corpus.rows(name)
    assert len(rows) == len({question_of(row) for row in rows})
    assert len(rows) >= (32 if name.endswith("-heldout") else 150)


def test_no_held_out_question_is_in_any_training_set():
    trained = {question_of(row) for name in ("chat", "preference", "prompts") for row in corpus.rows(name)}
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
