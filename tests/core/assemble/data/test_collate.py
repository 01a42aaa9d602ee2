"""Batches of tokens and of pairs."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.assemble.kinds.pairs import PairCollator
from swift_core.assemble.kinds.tokens import TokenCollator

ids = st.lists(st.integers(0, 9), min_size=1, max_size=6)


def test_rows_are_padded_on_the_right():
    batch = TokenCollator(7)(
        [
            {"input_ids": [1, 2, 3], "labels": [-100, 2, 3], "row": 4},
            {"input_ids": [5], "labels": [-100], "row": 9},
        ]
    )
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[1, 2, 3], [5, 7, 7]],
        "attention_mask": [[1, 1, 1], [1, 0, 0]],
        "labels": [[-100, 2, 3], [-100, -100, -100]],
        "rows": [4, 9],
    }
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())


def test_pairs_are_laid_out_chosen_first():
    batch = PairCollator(0)(
        [
            {"prompt_ids": [1], "chosen_ids": [2, 3], "rejected_ids": [4], "margin": 0.5, "row": 0},
            {"prompt_ids": [5, 6], "chosen_ids": [7], "rejected_ids": [8, 9], "margin": 0.0, "row": 1},
        ]
    )
    assert batch["input_ids"].tolist() == [[1, 2, 3, 0], [5, 6, 7, 0], [1, 4, 0, 0], [5, 6, 8, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch["labels"].tolist() == [
        [-100, 2, 3, -100],
        [-100, -100, 7, -100],
        [-100, 4, -100, -100],
        [-100, -100, 8, 9],
    ]
    assert (batch["margins"].tolist(), batch["rows"].tolist()) == ([0.5, 0.0], [0, 1])
    assert batch["margins"].dtype == torch.float32


@given(sequences=st.lists(ids, min_size=1, max_size=4), pad=st.integers(0, 9))
def test_no_token_is_lost_and_no_padding_seen(sequences, pad):
    rows = [{"input_ids": tokens, "labels": tokens, "row": index} for index, tokens in enumerate(sequences)]
    batch = TokenCollator(pad)(rows)
    for index, tokens in enumerate(sequences):
        seen = batch["attention_mask"][index].bool()
        assert batch["input_ids"][index][seen].tolist() == tokens
        assert (batch["input_ids"][index][~seen] == pad).all()
        assert (batch["labels"][index][~seen] == -100).all()


def test_third_answers_are_a_batch_of_their_own_and_only_when_every_row_has_one():
    first = {"prompt_ids": [1, 2], "chosen_ids": [3], "rejected_ids": [4, 5], "gold_ids": [6, 7, 8], "margin": 0.0}
    second = {"prompt_ids": [9], "chosen_ids": [8], "rejected_ids": [7], "margin": 0.0}
    both = PairCollator(0)([first | {"row": 0}, second | {"row": 1, "gold_ids": [5]}])
    assert both["gold_input_ids"].tolist() == [[1, 2, 6, 7, 8], [9, 5, 0, 0, 0]]
    assert both["gold_labels"].tolist() == [[-100, -100, 6, 7, 8], [-100, 5, -100, -100, -100]]
    assert both["gold_attention_mask"].tolist() == [[1] * 5, [1, 1, 0, 0, 0]]
    assert "gold_input_ids" not in PairCollator(0)([first | {"row": 0}, second | {"row": 1}])
