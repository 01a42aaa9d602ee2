"""Labelled rows: what is read of a record, whose answers are exchanged, and what is wrong with rows together."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_core.assemble.encoder import LightEncoder
from swift_core.assemble.kinds.unpaired import UnpairedCollator, UnpairedRows, mismatched
from swift_core.assemble.spans import RowMistake
from swift_core.contracts.data import Record

NEEDS = {"needs_mismatched": True}


@given(prompts=st.lists(st.integers(0, 6), max_size=40))
def test_every_row_gets_the_answer_of_a_row_with_another_prompt(prompts):
    partners = mismatched(prompts)
    if len(set(prompts)) < 2:
        assert partners is None
        return
    assert all(prompts[row] != prompts[partner] for row, partner in enumerate(partners))
    if 2 * max(Counter(prompts).values()) <= len(prompts):
        assert sorted(partners) == list(range(len(prompts)))  # and every answer is taken once


def test_partners_depend_on_the_rows_alone():
    prompts = [str(number % 7) for number in range(50)]
    assert mismatched(prompts) == mismatched(list(prompts))


def test_answers_of_neighbours_are_not_exchanged_in_order():
    partners = mismatched(list(range(100)))
    assert sum(partner in (row - 1, row + 1) for row, partner in enumerate(partners)) < 10


@pytest.fixture(scope="module")
def encoder(chatml_folder):
    """A tokenizer with the ChatML template."""
    return LightEncoder.open(chatml_folder)


def record(prompt="2 + 3 =", completion=" 5", label=True, **others):
    return Record(where="rows.jsonl:1", prompt=prompt, completion=completion, label=label, **others)


def encoded(kind, encoder, records):
    """Return the finished rows of records."""
    made = []
    for each in records:
        sequences = kind.sequences(encoder, each, whole=False)
        made.append(kind.row(sequences, each, len(made)))
    return kind.finish(made)


def test_a_row_has_its_own_answer_and_that_of_another_prompt(encoder):
    records = [record(), record("4 + 4 =", " 8", label=False)]
    first, second = encoded(UnpairedRows(), encoder, records)
    eos = encoder.eos_token_id
    assert first["prompt_ids"] + first["completion_ids"] == [*encoder.encode("2 + 3 = 5"), eos]
    assert first["kl_ids"] == second["completion_ids"]
    assert second["kl_ids"] == first["completion_ids"]
    assert (first["desirable"], second["desirable"]) == (True, False)
    assert set(first) == {"prompt_ids", "completion_ids", "desirable", "row", "kl_ids"}


def test_a_pair_becomes_a_wanted_and_an_unwanted_row():
    pair = Record(where="rows.jsonl:1", prompt="2 + 3 =", chosen=" 5", rejected=" 6", margin=1.0)
    wanted, unwanted = UnpairedRows().split(pair)
    assert (wanted.completion, wanted.label, wanted.chosen, wanted.rejected) == (" 5", True, None, None)
    assert (unwanted.completion, unwanted.label) == (" 6", False)
    assert UnpairedRows().split(record()) == (record(),)


def turn(role, content):
    return {"role": role, "content": content}


def test_a_label_judges_the_last_answer_of_a_conversation(encoder):
    turns = [turn("assistant", "hello"), turn("user", "2 + 3?"), turn("assistant", "5")]
    conversation = record([turn("user", "hi")], turns)
    asked = [turn("user", "hi"), *turns[:2]]
    kind = UnpairedRows()
    (row,) = encoded(kind, encoder, [conversation])
    prompt = encoder.render(asked, add_generation_prompt=True)
    assert encoder.decode(row["prompt_ids"]) == prompt
    assert encoder.decode(row["completion_ids"]).startswith("5")
    same_prompt, _ = encoded(kind, encoder, [conversation, record(asked, [turn("assistant", "6")])])
    assert "kl_ids" not in same_prompt


def test_a_row_without_a_label_is_told_what_to_do(encoder):
    with pytest.raises(RowMistake, match="does not say whether it is wanted") as mistake:
        UnpairedRows().sequences(encoder, record(label=None), whole=False)
    assert "train.stage: sft" in mistake.value.next_step


def test_an_exchanged_answer_is_cut_to_the_longest_row_and_counted(encoder):
    records = [record(completion=" 5" * 20), record("a rather long question about sums =", " 1", label=False)]
    first, second = encoded(UnpairedRows(), encoder, records)
    whole = len(first["prompt_ids"]) + len(first["completion_ids"])
    assert len(second["prompt_ids"]) + len(second["kl_ids"]) == whole
    assert second["kl_ids"] == first["completion_ids"][: len(second["kl_ids"])]
    assert judged(UnpairedRows(), encoder, records).notes[-1] == (
        "answers to other prompts, for the KL term, that were cut to the longest row: 1"
    )
    assert len(judged(UnpairedRows(), encoder, records, loss={}).notes) == 1


def judged(kind, encoder, records, loss=NEEDS, trained=True):
    return kind.judge(encoded(kind, encoder, records), records, loss, trained=trained)


@pytest.mark.parametrize(("label", "advice"), [(True, "train.stage: sft"), (False, "label: true")])
def test_rows_of_one_label_are_refused_for_training(encoder, label, advice):
    records = [record(label=label), record("4 + 4 =", " 8", label=label)]
    (mistake,) = judged(UnpairedRows(), encoder, records).mistakes
    assert mistake.code == "one-label"
    assert advice in mistake.next_step
    assert not judged(UnpairedRows(), encoder, records, trained=False).mistakes


def test_rows_of_one_prompt_are_refused_where_the_loss_needs_others(encoder):
    records = [record(), record(completion=" 6", label=False)]
    (mistake,) = judged(UnpairedRows(), encoder, records).mistakes
    assert mistake.code == "one-prompt"
    assert not judged(UnpairedRows(), encoder, records, loss={}).mistakes


def test_labels_and_pairs_are_counted(encoder):
    pair = Record(where="rows.jsonl:1", prompt="2 + 3 =", chosen=" 5", rejected=" 6")
    kind = UnpairedRows()
    records = [pair, record("4 + 4 =", " 8")]
    rows = encoded(kind, encoder, [part for each in records for part in kind.split(each)])
    assert kind.judge(rows, records, NEEDS, trained=True).notes == [
        "desirable rows: 2, undesirable rows: 1",
        "pairs, each taken as a desirable row (chosen) and an undesirable one (rejected): 1",
    ]


def test_a_batch_scores_answers_alone_on_both_sides():
    rows = [
        {"prompt_ids": [1, 2], "completion_ids": [3], "kl_ids": [6, 7, 8], "desirable": True, "row": 0},
        {"prompt_ids": [5], "completion_ids": [6, 7, 8], "kl_ids": [3], "desirable": False, "row": 1},
    ]
    batch = {name: value.tolist() for name, value in UnpairedCollator(9)(rows).items()}
    assert batch == {
        "input_ids": [[1, 2, 3, 9], [5, 6, 7, 8]],
        "attention_mask": [[1, 1, 1, 0], [1, 1, 1, 1]],
        "labels": [[-100, -100, 3, -100], [-100, 6, 7, 8]],
        "kl_input_ids": [[1, 2, 6, 7, 8], [5, 3, 9, 9, 9]],
        "kl_attention_mask": [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]],
        "kl_labels": [[-100, -100, 6, 7, 8], [-100, 3, -100, -100, -100]],
        "desirable": [True, False],
        "rows": [0, 1],
    }


def test_a_batch_without_exchanged_answers_has_no_place_for_them():
    rows = [{"prompt_ids": [1], "completion_ids": [3], "desirable": True, "row": 0}]
    assert not any(name.startswith("kl_") for name in UnpairedCollator(9)(rows))
