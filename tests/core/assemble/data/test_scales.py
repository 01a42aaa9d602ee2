"""Loss scales in a run: which tokens count how much, and what a broken one says."""

from __future__ import annotations

import pytest
import torch

from swift_core.assemble.data.load import load_data
from swift_core.assemble.encoder import LightEncoder
from swift_core.assemble.kinds.tokens import TokenCollator
from swift_core.errors import SwiftError

TURNS = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "first"},
    {"role": "user", "content": "two"},
    {"role": "assistant", "content": "go <tool_call>{}</tool_call>"},
]


@pytest.fixture
def encoder(chatml_folder):
    return LightEncoder.open(chatml_folder)


def weighted_text(encoder, row):
    """Return [(text, weight)] of the runs of trained tokens with one weight."""
    runs = []
    for token, label, weight in zip(row["input_ids"], row["labels"], row["loss_scale"], strict=True):
        weight = weight if label != -100 else 0.0
        if runs and runs[-1][1] == weight:
            runs[-1][0].append(token)
        else:
            runs.append(([token], weight))
    return [(encoder.decode(tokens), weight) for tokens, weight in runs if weight]


def load(plan_of, write_rows, encoder, turns, loss_scale):
    write_rows("train.jsonl", {"messages": turns})
    return load_data(plan_of({"dataset": "train.jsonl"}, loss_scale=loss_scale), encoder).train[0]


def test_weights_of_several_scales_are_multiplied(plan_of, write_rows, encoder):
    row = load(plan_of, write_rows, encoder, TURNS, "last_round+hermes")
    assert weighted_text(encoder, row) == [("go ", 1.0), ("<tool_call>{}</tool_call>", 2.0), ("<|im_end|>", 1.0)]
    both = load(plan_of, write_rows, encoder, TURNS, ["hermes"])
    assert weighted_text(encoder, both)[0] == ("first<|im_end|>", 1.0)


def test_all_trains_every_token_but_those_of_a_turn_that_says_no(plan_of, write_rows, encoder):
    row = load(plan_of, write_rows, encoder, TURNS, "all")
    assert row["labels"] == row["input_ids"]
    silent = [turn | ({"loss": False} if turn["content"] == "first" else {}) for turn in TURNS]
    row = load(plan_of, write_rows, encoder, silent, "all")
    untrained = [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label == -100]
    assert encoder.decode(untrained) == "first<|im_end|>"


def test_a_turn_with_a_weight_needs_no_scale(plan_of, write_rows, encoder):
    row = load(plan_of, write_rows, encoder, [*TURNS[:2], TURNS[2] | {"weight": 0.25}, *TURNS[3:]], [])
    assert [weight for _, weight in weighted_text(encoder, row)] == [0.25, 1.0]
    batch = TokenCollator(0)([row, {"input_ids": [1, 2], "labels": [-100, 2], "row": 1}])
    assert batch["loss_scale"].dtype == torch.float32
    assert batch["loss_scale"][1].tolist()[:2] == [1.0, 1.0]
    assert batch["loss_scale"][0].tolist() == row["loss_scale"]


def test_a_weighted_turn_has_no_meaning_where_answers_are_compared(plan_of, write_rows, encoder):
    answer = [{"role": "assistant", "content": "yes", "weight": 0.5}]
    write_rows("pairs.jsonl", {"prompt": TURNS[:2], "chosen": answer, "rejected": "no"})
    with pytest.raises(SwiftError, match="a token is trained or not"):
        load_data(plan_of({"dataset": "pairs.jsonl"}, stage="dpo"), encoder)


BROKEN = """
class Loses:
    def get_loss_scale(self, context, context_type, is_last_round):
        return [context[1:]], [1.0]

class Negative:
    def get_loss_scale(self, context, context_type, is_last_round):
        return [context], [-1.0]

class Raises:
    def get_loss_scale(self, context, context_type, is_last_round):
        raise KeyError(context_type)
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Loses", "lose nothing of it"),
        ("Negative", "must give finite weights >= 0, got -1.0"),
        ("Raises", "raised KeyError: 'query'"),
    ],
)
def test_a_broken_scale_is_named_with_its_place(plan_of, write_rows, encoder, tmp_path, name, message):
    (tmp_path / "scale.py").write_text(BROKEN)
    write_rows("train.jsonl", {"messages": TURNS})
    plan = plan_of({"dataset": "train.jsonl"}, loss_scale=[f"./scale.py:{name}"], allow_code=True)
    with pytest.raises(SwiftError, match=message) as caught:
        load_data(plan, encoder)
    (problem,) = caught.value.problems
    assert problem.code == "loss-scale-failed"
    assert problem.place is not None
