"""Kept answers as rows that stages read as they are."""

import pytest

from swift_core.builtins.formats.messages import Messages
from swift_core.builtins.formats.preference import Preference
from swift_core.builtins.formats.prompt_completion import PromptCompletion
from swift_core.sampling.output import Choice, rows_of

CHAT = [{"role": "user", "content": "q"}]


def drawn(*answers, prompt="q "):
    keys = ("text", "reward", "key", "finished")
    return {"prompt": prompt, "answers": [dict(zip(keys, answer, strict=True)) for answer in answers]}


TRIED = (("no", 0.0, "n", True), ("yes", 1.0, "y", True), ("yes", 1.0, "y", True), ("cut", 1.0, "y", False))


def test_the_best_answer_is_a_row_of_stage_sft():
    (row,) = rows_of(drawn(*TRIED), Choice())
    assert row == {"prompt": "q ", "completion": "yes", "reward": 1.0}
    assert PromptCompletion().record(row, "x").completion == "yes"
    (chat,) = rows_of(drawn(*TRIED, prompt=CHAT), Choice())
    assert [turn["content"] for turn in Messages().record(chat, "x").completion] == ["yes"]


def test_best_and_worst_are_a_pair_of_stage_dpo():
    (row,) = rows_of(drawn(*TRIED), Choice(keep="pairs"))
    assert row == {"prompt": "q ", "chosen": "yes", "rejected": "no", "margin": 1.0}
    (chat,) = rows_of(drawn(*TRIED, prompt=CHAT), Choice(keep="pairs"))
    record = Preference().record(chat, "x")
    assert (record.chosen[0]["content"], record.rejected[0]["content"], record.margin) == ("yes", "no", 1.0)


def test_all_keeps_each_text_once_with_its_reward():
    rows = rows_of(drawn(*TRIED), Choice(keep="all"))
    assert [(row["completion"], row["reward"], row["finished"]) for row in rows] == [
        ("no", 0.0, True), ("yes", 1.0, True), ("cut", 1.0, False),
    ]  # fmt: skip


@pytest.mark.parametrize("keep", ["best", "pairs"])
def test_nothing_is_kept_below_the_threshold(keep):
    assert rows_of(drawn(("no", 0.0, "n", True), ("so", 0.4, "s", True)), Choice(keep=keep, threshold=0.5)) == []


def test_a_pair_needs_answers_of_different_worth():
    assert rows_of(drawn(("a", 1.0, "a", True), ("b", 1.0, "b", True)), Choice(keep="pairs")) == []
    both_good = drawn(("a", 0.9, "a", True), ("b", 0.8, "b", True))
    assert rows_of(both_good, Choice(keep="pairs", threshold=0.5)) == []
    assert len(rows_of(both_good, Choice(keep="pairs"))) == 1


def test_votes_count_answers_that_are_written_alike():
    said = (("one", 0.0, "1", True), ("two", 0.0, "2", True), ("two", 0.0, "2", True), ("zwei", 0.0, "2", True))
    (row,) = rows_of(drawn(*said), Choice(select="majority"))
    assert row["completion"] == "two"


def said(role, content):
    return {"role": role, "content": content}


def talk(reward, *turns):
    """Return an answer of several turns, the model's and a tool's by turns."""
    messages = [said("user" if place % 2 else "assistant", text) for place, text in enumerate(turns)]
    return {"text": turns[-1], "reward": reward, "key": turns[-1], "finished": True, "turns": messages}


@pytest.mark.parametrize(
    ("better", "worse", "shared"),
    [
        (("5", "no", "7"), ("6", "no", "8"), 0),
        (("5", "no", "7"), ("5", "no", "8"), 2),
        (("5", "tool a", "7"), ("5", "tool b", "8"), 0),  # what a tool says begins no answer
        (("5",), ("5", "sure?", "6"), 0),
        (("5", "no", "7", "no", "9"), ("5", "no", "7"), 2),
    ],
)
def test_a_pair_of_several_turns_begins_where_the_model_first_differs(better, worse, shared):
    good, bad = talk(1.0, *better), talk(0.0, *worse)

    (row,) = rows_of({"prompt": CHAT, "answers": [bad, good]}, Choice(keep="pairs"))

    assert row["prompt"] == [*CHAT, *good["turns"][:shared]]
    assert row["chosen"] == good["turns"][shared:]
    assert row["rejected"] == bad["turns"][shared:]
    record = Preference().record(row, "x")
    assert [turn["role"] for turn in (record.chosen[0], record.rejected[0])] == ["assistant", "assistant"]
