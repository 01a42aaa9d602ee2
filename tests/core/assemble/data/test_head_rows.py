"""Rows of classes, of scores and of steps."""

from __future__ import annotations

import pytest

from swift_core.assemble.data.load import load_data
from swift_core.assemble.encoder import open_encoder
from swift_core.errors import SwiftError


@pytest.fixture
def loaded(plan_of, write_rows, chatml_folder):
    """Return a function (stage, rows, held-out rows, data keys, train keys) -> the data of such a run."""

    def load(stage, rows, held_out=(), train=None, **data):
        data["dataset"] = str(write_rows("train.jsonl", *rows))
        if held_out:
            data["val_dataset"] = str(write_rows("val.jsonl", *held_out))
        plan = plan_of(data, stage=stage, **(train or {}))
        encoder = open_encoder(plan.config, chatml_folder)
        return load_data(plan, encoder), encoder

    return load


def texts(*labels):
    return [{"text": f"text number {index}", "label": label} for index, label in enumerate(labels)]


def problems_of(error):
    return [(problem.code, problem.message, str(problem.place)) for problem in error.value.problems]


# Classes.


@pytest.mark.parametrize(
    ("labels", "names", "classes"),
    [
        (["spam", "ham", "spam"], ["ham", "spam"], [1, 0, 1]),
        ([2, 0, 1], ["0", "1", "2"], [2, 0, 1]),
        ([3, 0], ["0", "1", "2", "3"], [3, 0]),
        ([True, False], ["false", "true"], [1, 0]),
        (["b", 2], ["2", "b"], [1, 0]),
    ],
)
def test_classes_are_all_labels_of_the_training_rows(loaded, labels, names, classes):
    data, _ = loaded("seq_cls", texts(*labels))
    assert [row["class_label"] for row in data.train] == classes
    assert data.head_config["id2label"] == dict(enumerate(names))
    assert data.head_config["label2id"] == {name: index for index, name in enumerate(names)}
    assert data.head_config["num_labels"] == len(names)
    assert data.head_config["problem_type"] == "single_label_classification"


def test_a_list_gives_a_text_several_classes_or_none(loaded):
    data, _ = loaded("seq_cls", texts(["a", "c"], [], ["b"]))
    assert [row["class_label"] for row in data.train] == [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert data.head_config["problem_type"] == "multi_label_classification"
    assert data.collator(data.train)["labels"].tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_a_loss_that_learns_numbers_makes_labels_numbers(loaded):
    data, _ = loaded("seq_cls", texts(1, 0.5, "-2"), train={"loss_type": "class_squared_error"})
    assert data.collator(data.train)["labels"].tolist() == [1.0, 0.5, -2.0]
    assert (data.head_config["num_labels"], data.head_config["problem_type"]) == (1, "regression")


def test_plain_text_has_no_end_token_and_a_conversation_is_as_the_template_writes_it(loaded):
    turns = [{"role": "user", "content": "hello"}]
    data, encoder = loaded("seq_cls", texts("a", "b"))
    assert encoder.decode(data.train[0]["input_ids"]) == "text number 0"
    data, encoder = loaded("seq_cls", [{"messages": turns, "label": label} for label in ("a", "b")])
    assert encoder.decode(data.train[0]["input_ids"]) == encoder.render(turns)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "the cat", "label": "x"},
        {"prompt": "the cat", "completion": " said", "label": "x"},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "label": "x"},
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "label": "x"},
    ],
)
def test_a_label_may_stand_beside_any_text(loaded, row):
    data, _ = loaded("seq_cls", [row, {**row, "label": "y"}])
    assert [row["class_label"] for row in data.train] == [0, 1]


def test_a_column_of_another_name_is_the_label(loaded):
    rows = [{"text": "a", "mood": "good"}, {"text": "b", "mood": "bad"}]
    data, _ = loaded("seq_cls", rows, columns={"label": "mood"})
    assert [row["title"] for row in data.train] == ["good", "bad"]


def test_held_out_rows_with_a_prompt_alone_are_judged_too(loaded):
    rows = [{"prompt": "the cat", "label": label} for label in ("x", "y")]
    data, _ = loaded("seq_cls", rows, rows[:1])
    assert len(data.eval) == 1


def test_an_unknown_held_out_label_is_told_with_its_place_and_a_guess(loaded):
    with pytest.raises(SwiftError) as error:
        loaded("seq_cls", texts("spam", "ham"), texts("ham", "spam", "spann"))
    ((code, message, place),) = problems_of(error)
    assert code == "unknown-label"
    assert message == "No training row has the label 'spann'. Did you mean 'spam'?"
    assert "val.jsonl:3" in place


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (texts("a", "a"), "one-class"),
        (texts(0.5, 0.25), "label-is-number"),
        (texts(0, -1), "unknown-label"),
        (texts(0, 99_999), "unknown-label"),
        (texts(["a"], "b"), "mixed-labels"),
        (texts({"a": 1}, "b"), "label-type"),
        ([{"text": "no label"}], "row-does-not-fit-stage"),
        ([{"prompt": "a", "chosen": "b", "rejected": "c"}], "row-does-not-fit-stage"),
    ],
)
def test_labels_that_are_no_classes_are_refused(loaded, rows, code):
    with pytest.raises(SwiftError) as error:
        loaded("seq_cls", rows)
    assert code in {problem[0] for problem in problems_of(error)}


@pytest.mark.parametrize("label", ["much", True, ["a"], float("inf")])
def test_labels_that_are_no_numbers_are_refused(loaded, label):
    with pytest.raises(SwiftError) as error:
        loaded("seq_cls", texts(0.5, label), train={"loss_type": "class_squared_error"})
    assert [problem[0] for problem in problems_of(error)] == ["label-is-no-number"]


def test_a_long_text_is_cut_and_keeps_its_label(loaded):
    data, _ = loaded("seq_cls", texts("a", "b"), max_length=3, overlong="truncate")
    assert [(len(row["input_ids"]), row["class_label"]) for row in data.train] == [(3, 0), (3, 1)]
    assert data.facts["rows_truncated"] == 2


def test_the_facts_count_rows_by_class(loaded):
    data, _ = loaded("seq_cls", texts("a", "b", "a"))
    assert data.facts["notes"] == ["2 classes: a (2), b (1)"]


def test_a_batch_of_classes_is_padded_on_the_right(loaded):
    data, encoder = loaded("seq_cls", [{"text": "the", "label": 0}, {"text": "the cat said", "label": 1}])
    batch = data.collator(data.train)
    lengths = [len(row["input_ids"]) for row in data.train]
    assert batch["attention_mask"].sum(1).tolist() == lengths
    assert batch["input_ids"][0, lengths[0] :].tolist() == [encoder.pad_token_id] * (lengths[1] - lengths[0])
    assert batch["labels"].tolist() == [0, 1]


# Scores.

PAIR = {"prompt": "hello", "chosen": " there.", "rejected": " user"}


def test_plain_answers_end_in_the_end_token_once(loaded):
    data, encoder = loaded("rm", [PAIR, {**PAIR, "chosen": " there.<|im_end|>"}])
    for row in data.train:
        assert encoder.decode(row["chosen_ids"]) == "hello there.<|im_end|>"
        assert encoder.decode(row["rejected_ids"]) == "hello user<|im_end|>"


def test_conversations_are_scored_as_the_template_writes_them_whole(loaded):
    prompt = [{"role": "user", "content": "hello"}]
    chosen, rejected = ([{"role": "assistant", "content": text}] for text in ("there", "user"))
    explicit = {"prompt": prompt, "chosen": chosen, "rejected": rejected, "margin": 1.5}
    implicit = {"chosen": prompt + chosen, "rejected": prompt + rejected}
    data, encoder = loaded("rm", [explicit, implicit])
    for row in data.train:
        assert encoder.decode(row["chosen_ids"]) == encoder.render(prompt + chosen)
        assert encoder.decode(row["rejected_ids"]) == encoder.render(prompt + rejected)
    assert [row["margin"] for row in data.train] == [1.5, 0.0]
    assert data.head_config["num_labels"] == 1


def test_batches_of_scores_have_the_chosen_answers_first(loaded):
    data, _ = loaded("rm", [PAIR, {**PAIR, "margin": 2}])
    batch = data.collator(data.train)
    assert batch["input_ids"].shape[0] == 4
    assert batch["input_ids"][0].tolist() == batch["input_ids"][1].tolist()
    assert batch["margins"].tolist() == [0.0, 2.0]
    assert batch["labels"].tolist() == [0, 0]


def test_a_pair_that_is_cut_is_dropped_since_its_score_would_be_another(loaded):
    long = {**PAIR, "chosen": " the cat said hello there" * 4}
    data, _ = loaded("rm", [PAIR, long], max_length=12, overlong="truncate")
    assert len(data.train) == 1
    assert data.facts["rows_dropped"] == 1


def test_rows_without_a_pair_are_refused_in_rm(loaded):
    with pytest.raises(SwiftError) as error:
        loaded("rm", texts("a", "b"))
    assert problems_of(error)[0][1] == "Stage rm needs prompt, chosen and rejected, and this row has none."


# Steps.

STEPS = {"prompt": "hello", "completions": [" there", " user", " said"], "labels": [True, 0.25, None]}


def scored(row, encoder):
    """Return what is read up to each scored token, with its label."""
    return [
        (encoder.decode(row["input_ids"][: index + 1]), label)
        for index, label in enumerate(row["labels"])
        if label != -100
    ]


def test_a_step_is_scored_at_its_separators_last_token(loaded):
    data, encoder = loaded("prm", [STEPS])
    assert scored(data.train[0], encoder) == [("hello there\n", 1.0), ("hello there\n user\n", 0.25)]
    assert encoder.decode(data.train[0]["input_ids"]) == "hello there\n user\n said\n"
    assert data.head_config["id2label"] == {0: "wrong", 1: "right"}


def test_without_a_separator_a_step_is_scored_at_its_own_last_token(loaded):
    data, encoder = loaded("prm", [STEPS], step_separator="")
    assert scored(data.train[0], encoder) == [("hello there", 1.0), ("hello there user", 0.25)]


def test_the_last_label_alone_is_kept_when_asked(loaded):
    data, encoder = loaded("prm", [STEPS], train_on_last_step_only=True)
    assert scored(data.train[0], encoder) == [("hello there\n user\n", 0.25)]


def test_steps_follow_a_conversation_as_an_answer_would(loaded):
    prompt = [{"role": "user", "content": "hello"}]
    data, encoder = loaded("prm", [{**STEPS, "prompt": prompt}])
    asked = encoder.render(prompt, add_generation_prompt=True)
    assert scored(data.train[0], encoder)[0] == (asked + " there\n", 1.0)


def test_steps_after_the_first_wrong_one_are_not_scored(loaded):
    rows = [
        {"problem": "hello", "steps": ["there", "user", "said"], "label": 1},
        {"input": "hello", "steps": ["there", "user"], "mistake_index": None},
    ]
    data, encoder = loaded("prm", rows)
    assert [label for _, label in scored(data.train[0], encoder)] == [1.0, 0.0]
    assert [label for _, label in scored(data.train[1], encoder)] == [1.0, 1.0]
    assert scored(data.train[0], encoder)[0][0] == "hello\nthere\n"


def test_a_cut_solution_keeps_the_steps_that_fit(loaded):
    data, encoder = loaded("prm", [STEPS], max_length=6, overlong="truncate")
    assert [label for _, label in scored(data.train[0], encoder)] == [1.0]


def test_a_row_without_a_judged_step_is_refused(loaded):
    with pytest.raises(SwiftError) as error:
        loaded("prm", [{**STEPS, "labels": [None, None, None]}])
    assert problems_of(error)[0][0] == "nothing-trained"


def test_batches_of_steps_are_padded_without_labels(loaded):
    data, _ = loaded("prm", [STEPS, {**STEPS, "completions": [" there"], "labels": [False]}])
    batch = data.collator(data.train)
    assert batch["labels"].shape == batch["input_ids"].shape
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()
    assert sorted(batch["labels"][batch["labels"] != -100].tolist()) == [0.0, 0.25, 1.0]
