"""From a run file and files on disk to rows of tokens."""

from __future__ import annotations

import json

import pytest

from swift_core.assemble.data.load import load_data, percentile
from swift_core.assemble.encoder import LightEncoder
from swift_core.errors import SwiftError


def chat(question, answer):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.fixture
def encoder(chatml_folder):
    return LightEncoder.open(chatml_folder)


def problems_of(plan, encoder):
    with pytest.raises(SwiftError) as caught:
        load_data(plan, encoder)
    return caught.value.problems


def trained(encoder, row):
    return encoder.decode([label for label in row["labels"] if label != -100])


def test_rows_are_encoded_and_counted(plan_of, write_rows, encoder):
    write_rows("train.jsonl", chat("a", "b"), chat("c", "dd"))
    data = load_data(plan_of({"dataset": "train.jsonl"}), encoder)
    assert [trained(encoder, row) for row in data.train] == ["b<|im_end|>", "dd<|im_end|>"]
    assert [row["row"] for row in data.train] == [0, 1]
    assert data.eval is None
    assert data.eval_records == []
    lengths = [len(row["input_ids"]) for row in data.train]
    expected = {
        "rows_read": 2,
        "rows": 2,
        "rows_dropped": 0,
        "rows_truncated": 0,
        "trained_tokens": sum(label != -100 for row in data.train for label in row["labels"]),
        "tokens": sum(lengths),
        "length_max": max(lengths),
        "length_p50": min(lengths),
        "eos_trained": True,
        "end_of_turn": ["<|im_end|>"],
    }
    assert {name: data.facts[name] for name in expected} == expected
    assert data.facts["sources"][0]["because"] == "every row has messages[].role and messages[].content"


def test_pairs_are_encoded(plan_of, write_rows, encoder):
    write_rows(
        "pairs.jsonl", {"prompt": [{"role": "user", "content": "q"}], "chosen": "yes", "rejected": "no", "margin": 2}
    )
    (row,) = load_data(plan_of({"dataset": "pairs.jsonl"}, stage="dpo"), encoder).train
    assert encoder.decode(row["prompt_ids"]) == "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"
    assert encoder.decode(row["chosen_ids"]) == "yes<|im_end|>"
    assert encoder.decode(row["rejected_ids"]) == "no<|im_end|>"
    assert (row["margin"], row["row"]) == (2.0, 0)


def test_plain_pairs_share_one_prompt_and_end(plan_of, write_rows, encoder):
    write_rows("pairs.jsonl", {"prompt": "the ", "chosen": "cat", "rejected": "1"})
    (row,) = load_data(plan_of({"dataset": "pairs.jsonl"}, stage="dpo"), encoder).train
    texts = [encoder.decode(row["prompt_ids"] + row[side]) for side in ("chosen_ids", "rejected_ids")]
    assert texts == ["the cat<|im_end|>", "the 1<|im_end|>"]
    assert encoder.decode(row["prompt_ids"]) == "the"


def test_pretraining_trains_every_token(plan_of, write_rows, encoder):
    write_rows("text.jsonl", {"text": "hello there"})
    (row,) = load_data(plan_of({"dataset": "text.jsonl"}, stage="pt"), encoder).train
    assert row["labels"] == row["input_ids"]
    write_rows("text.jsonl", chat("a", "b"))
    (row,) = load_data(plan_of({"dataset": "text.jsonl"}, stage="pt"), encoder).train
    assert row["labels"] == row["input_ids"]


def test_overlong_rows_are_an_error_that_counts_them(plan_of, write_rows, encoder):
    write_rows("train.jsonl", chat("a", "b"), chat("a", "b" * 50), chat("a", "b" * 90))
    plan = plan_of({"dataset": "train.jsonl", "max_length": 30})
    (problem,) = problems_of(plan, encoder)
    assert problem.code == "overlong-rows"
    longest = len(encoder.encode(encoder.render(chat("a", "b" * 90)["messages"])))
    start = "2 of 3 rows are longer than data.max_length, 30 tokens; the longest has "
    assert problem.message == f"{start}{longest} (train.jsonl:3)."
    assert problem.next_step == f"set data.max_length to {longest}, or data.overlong to drop or truncate"
    assert problem.place.text.strip().startswith('"max_length": 30')
    exact = plan_of({"dataset": "train.jsonl", "max_length": longest})
    assert len(load_data(exact, encoder).train) == 3


def test_dropped_rows_are_counted(plan_of, write_rows, encoder):
    write_rows("train.jsonl", chat("a", "b"), chat("a", "b" * 50))
    data = load_data(plan_of({"dataset": "train.jsonl", "max_length": 30, "overlong": "drop"}), encoder)
    assert [trained(encoder, row) for row in data.train] == ["b<|im_end|>"]
    assert (data.facts["rows_read"], data.facts["rows"], data.facts["rows_dropped"]) == (2, 1, 1)


def test_truncated_rows_and_cut_answers_are_counted(plan_of, write_rows, encoder):
    write_rows("train.jsonl", chat("a", "b"), chat("a", "b" * 50))
    data = load_data(plan_of({"dataset": "train.jsonl", "max_length": 30, "overlong": "truncate"}), encoder)
    assert len(data.train[1]["input_ids"]) == 30
    assert set(trained(encoder, data.train[1])) == {"b"}
    assert (data.facts["rows_truncated"], data.facts["answers_cut"], data.facts["rows_dropped"]) == (1, 1, 0)
    assert data.facts["rows_ending_trained"] == 1


def test_truncation_leaves_no_row_without_an_answer(plan_of, write_rows, encoder):
    write_rows("train.jsonl", chat("a", "b"), chat("a" * 60, "b"))
    data = load_data(plan_of({"dataset": "train.jsonl", "max_length": 30, "overlong": "truncate"}), encoder)
    assert len(data.train) == 1
    assert (data.facts["rows_truncated"], data.facts["rows_dropped"]) == (0, 1)


def test_truncated_pairs_keep_a_token_of_each_answer(plan_of, write_rows, encoder):
    write_rows("pairs.jsonl", {"prompt": "q", "chosen": " " + "b" * 50, "rejected": " no"})
    plan = plan_of({"dataset": "pairs.jsonl", "max_length": 20, "overlong": "truncate"}, stage="dpo")
    data = load_data(plan, encoder)
    (row,) = data.train
    assert len(row["prompt_ids"] + row["chosen_ids"]) == 20
    assert encoder.decode(row["rejected_ids"]) == " no<|im_end|>"
    assert (data.facts["rows_truncated"], data.facts["answers_cut"]) == (1, 1)


def test_data_of_which_nothing_is_left_is_an_error(plan_of, write_rows, encoder):
    write_rows("train.jsonl", chat("a", "b" * 50))
    (problem,) = problems_of(plan_of({"dataset": "train.jsonl", "max_length": 20, "overlong": "drop"}), encoder)
    assert problem.code == "no-rows"
    assert problem.message.startswith("Every one of 1 rows is longer than data.max_length, 20 tokens")


def test_every_wrong_row_is_told_or_counted(plan_of, write_rows, encoder):
    write_rows("train.jsonl", chat("a", "b"), *[chat("a", 3)] * 5)
    problems = problems_of(plan_of({"dataset": "train.jsonl"}), encoder)
    assert [str(problem.place) for problem in problems] == ["train.jsonl:2:1", "train.jsonl:3:1", "train.jsonl:4:1"]
    assert problems[0].message == "The row is no messages row: messages[1].content must be text, got 3."
    assert problems[2].message.endswith("2 more rows are wrong in this way.")


@pytest.mark.parametrize(
    ("row", "stage", "hint"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "sft", "set train.stage: dpo"),
        ({"prompt": "q", "completion": "a"}, "dpo", "set train.stage: sft"),
        ({"text": "a"}, "dpo", "set train.stage: pt"),
        ({"prompt": "q", "ground_truth": "a"}, "sft", "data.val_dataset"),
    ],
)
def test_row_of_another_stage_names_the_stage_that_fits(plan_of, write_rows, encoder, row, stage, hint):
    write_rows("train.jsonl", row)
    (problem,) = problems_of(plan_of({"dataset": "train.jsonl"}, stage=stage), encoder)
    assert problem.code == "row-does-not-fit-stage"
    assert str(problem.place) == "train.jsonl:1:1"
    assert hint in problem.next_step


def test_conversation_without_a_template_is_an_error_at_the_row(plan_of, write_rows, model_folder):
    folder = model_folder(None)
    write_rows("train.jsonl", chat("a", "b"))
    (problem,) = problems_of(plan_of({"dataset": "train.jsonl"}, model=folder), LightEncoder.open(folder))
    assert (problem.code, str(problem.place)) == ("no-chat-template", "train.jsonl:1:1")


def test_held_out_prompts_are_kept_for_metrics_alone(plan_of, write_rows, encoder):
    write_rows("train.jsonl", chat("a", "b"))
    write_rows("val.jsonl", chat("c", "d"))
    write_rows("prompts.jsonl", {"prompt": "2+2", "ground_truth": "4"})
    data = load_data(plan_of({"dataset": "train.jsonl", "val_dataset": ["val.jsonl", "prompts.jsonl"]}), encoder)
    assert [trained(encoder, row) for row in data.eval] == ["d<|im_end|>"]
    assert [record.prompt for record in data.eval_records] == [[{"role": "user", "content": "c"}], "2+2"]
    assert data.eval_records[1].columns == {"prompt": "2+2", "ground_truth": "4"}
    assert (data.facts["eval_rows_read"], data.facts["eval_prompts_only"], data.facts["eval_rows"]) == (2, 1, 1)
    only_prompts = plan_of({"dataset": "train.jsonl", "val_dataset": "prompts.jsonl"})
    assert load_data(only_prompts, encoder).eval is None


def test_split_is_drawn_by_seed_and_loses_no_row(plan_of, write_rows, encoder):
    rows = [chat(str(number), "b") for number in range(20)]
    write_rows("train.jsonl", *rows)

    def split(seed):
        data = load_data(plan_of({"dataset": "train.jsonl", "split_dataset_ratio": 0.2}, seed=seed), encoder)
        assert len(data.eval) + len(data.train) == 20
        assert 1 <= len(data.eval) <= 9
        held_out = [record.prompt[0]["content"] for record in data.eval_records]
        assert held_out == sorted(held_out, key=int)
        return held_out, data.train

    assert split(1) == split(1)
    assert split(1)[0] != split(2)[0]


def test_val_dataset_keeps_the_training_rows_whole(plan_of, write_rows, encoder):
    write_rows("train.jsonl", chat("a", "b"), chat("c", "d"))
    write_rows("val.jsonl", chat("e", "f"))
    data = load_data(plan_of({"dataset": "train.jsonl", "val_dataset": "val.jsonl"}), encoder)
    assert (len(data.train), len(data.eval)) == (2, 1)


def test_system_message_is_put_where_there_is_none(plan_of, write_rows, encoder):
    own = {"messages": [{"role": "system", "content": "own"}, *chat("a", "b")["messages"]]}
    write_rows("train.jsonl", chat("a", "b"), own)
    data = load_data(plan_of({"dataset": "train.jsonl", "system": "be kind"}), encoder)
    assert encoder.decode(data.train[0]["input_ids"]).startswith(
        "<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user"
    )
    assert "be kind" not in encoder.decode(data.train[1]["input_ids"])


def test_columns_are_renamed_and_kept_for_rewards(plan_of, write_rows, encoder):
    write_rows("train.jsonl", {"q": "2+2=", "a": " 4", "difficulty": 1})
    plan = plan_of(
        {"dataset": "train.jsonl", "val_dataset": "train.jsonl", "columns": {"prompt": "q", "completion": "a"}}
    )
    data = load_data(plan, encoder)
    assert trained(encoder, data.train[0]) == " 4<|im_end|>"
    assert data.eval_records[0].columns["difficulty"] == 1
    assert data.eval_records[0].columns["q"] == "2+2="


def test_column_that_no_row_has_is_an_error(plan_of, write_rows, encoder):
    write_rows("train.jsonl", {"question": "q", "answer": "a"})
    (problem,) = problems_of(plan_of({"dataset": "train.jsonl", "columns": {"prompt": "qestion"}}), encoder)
    assert problem.code == "missing-column"
    assert "Did you mean 'question'?" in problem.message


def test_name_that_no_format_reads_is_an_error(plan_of, write_rows, encoder):
    write_rows("train.jsonl", {"question": "q", "answer": "a"})
    (problem,) = problems_of(plan_of({"dataset": "train.jsonl", "columns": {"promt": "question"}}), encoder)
    assert problem.code == "unknown-column"
    assert "Did you mean 'prompt'?" in problem.message


def test_rows_of_two_formats_in_one_file_are_an_error(plan_of, write_rows, encoder):
    text = {"text": "x"}
    write_rows("train.jsonl", chat("a", "b"), chat("a", "b"), text, chat("a", "b"))
    (problem,) = problems_of(plan_of({"dataset": "train.jsonl"}), encoder)
    assert problem.code == "mixed-formats"
    assert "rows 1 to 2 messages, 3 text, 4 messages" in problem.message
    assert str(problem.place) == "train.jsonl:3:1"


def test_files_of_two_formats_may_be_joined(plan_of, write_rows, encoder):
    write_rows("a.jsonl", chat("a", "b"))
    write_rows("b.jsonl", {"instruction": "c", "output": "d"})
    data = load_data(plan_of({"dataset": ["a.jsonl", "b.jsonl"]}), encoder)
    assert [source["format"] for source in data.facts["sources"]] == ["messages", "alpaca"]


def test_row_that_no_format_reads_names_its_columns(plan_of, write_rows, encoder):
    write_rows("train.jsonl", {"input": "a", "target": "b"})
    (problem,) = problems_of(plan_of({"dataset": "train.jsonl"}), encoder)
    assert problem.code == "unknown-format"
    assert problem.message == "No format reads this row; it has the columns input, target."
    assert "data.columns" in problem.next_step


def test_row_that_is_not_of_the_named_format_is_an_error(plan_of, write_rows, encoder):
    write_rows("train.jsonl", {"text": "x"}, chat("a", "b"))
    (problem,) = problems_of(plan_of({"dataset": "train.jsonl", "format": "text"}), encoder)
    assert problem.code == "not-of-format"
    assert "this row has the columns messages" in problem.message


def test_rows_can_be_fetched_in_any_order_as_torch_wants_them(plan_of, write_rows, encoder):
    from torch.utils.data import DataLoader

    from swift_core.assemble.kinds.tokens import TokenCollator

    write_rows("train.jsonl", *[chat(str(number), "b" * number) for number in range(1, 6)])
    rows = load_data(plan_of({"dataset": "train.jsonl"}), encoder).train
    loader = DataLoader(rows, batch_size=2, collate_fn=TokenCollator(encoder.pad_token_id))
    assert [batch["rows"].tolist() for batch in loader] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(("share", "expected"), [(0.5, 5), (0.99, 10), (0.1, 1), (0.11, 2)])
def test_percentile_is_a_length_that_occurs(share, expected):
    assert percentile(list(range(10, 0, -1)), share) == expected


def test_empty_lines_do_not_shift_the_line_of_a_row(plan_of, write_rows, encoder):
    path = write_rows("train.jsonl", chat("a", "b"))
    path.write_text("\n\n" + json.dumps(chat("a", 3)) + "\n")
    (problem,) = problems_of(plan_of({"dataset": "train.jsonl"}), encoder)
    assert str(problem.place) == "train.jsonl:3:1"


def test_row_of_one_token_has_nothing_that_predicts_it(plan_of, write_rows, encoder):
    write_rows("train.jsonl", {"prompt": "", "completion": ""})
    (problem,) = problems_of(plan_of({"dataset": "train.jsonl"}), encoder)
    assert (problem.code, str(problem.place)) == ("nothing-trained", "train.jsonl:1:1")


@pytest.mark.parametrize(
    "reference", ["best", [{"role": "assistant", "content": "best"}], [*chat("a", "best")["messages"]]]
)
def test_the_reference_column_gives_a_third_answer(plan_of, write_rows, encoder, reference):
    row = {"prompt": [{"role": "user", "content": "a"}], "chosen": "good", "rejected": "bad", "reference": reference}
    write_rows("pairs.jsonl", row)
    (encoded,) = load_data(plan_of({"dataset": "pairs.jsonl"}, stage="dpo"), encoder).train
    assert encoder.decode(encoded["gold_ids"]) == "best<|im_end|>"
    assert encoder.decode(encoded["chosen_ids"]) == "good<|im_end|>"
    assert encoder.decode(encoded["prompt_ids"]).endswith("<|im_start|>assistant\n")


def test_a_stage_that_samples_judges_held_out_prompts(plan_of, write_rows, encoder):
    write_rows("asked.jsonl", {"prompt": "what", "ground_truth": "a"}, {"prompt": "why", "ground_truth": "b"})
    data = {"dataset": "asked.jsonl", "val_dataset": "asked.jsonl"}
    plan = plan_of(data, stage="grpo", reward={"orms": ["exact_match"]})
    assert [row["prompt"] for row in load_data(plan, encoder).eval] == ["what", "why"]
