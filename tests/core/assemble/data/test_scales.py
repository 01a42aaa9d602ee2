"""Loss scales in a run: which tokens count how much, and what a broken one says."""

from __future__ import annotations

import pytest
import torch

from swift_core.artifacts.mask_preview import mask_preview
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


THOUGHT = "<think>\n\n</think>\n\n"


def trained_text(encoder, labels):
    """Return the runs of trained tokens of one sequence as text."""
    runs = [[]]
    for label in labels.tolist():
        if label != -100:
            runs[-1].append(label)
        elif runs[-1]:
            runs.append([])
    return [encoder.decode(run) for run in runs if run]


def pair(chosen, rejected):
    return {"prompt": TURNS[:2], "chosen": chosen, "rejected": rejected}


def test_in_pairs_a_weight_is_trained_or_not(plan_of, write_rows, encoder):
    write_rows("pairs.jsonl", pair(f"{THOUGHT}yes", "no"), pair("a", f"b {THOUGHT}c"))
    plan = plan_of({"dataset": "pairs.jsonl"}, stage="dpo", loss_scale="ignore_empty_think")
    data = load_data(plan, encoder)
    labels = data.collator(data.train)["labels"]
    found = [trained_text(encoder, each) for each in labels]
    assert found == [["yes<|im_end|>"], ["a<|im_end|>"], ["no<|im_end|>"], ["b ", "c<|im_end|>"]]
    assert encoder.decode(data.train[0]["chosen_ids"]) == f"{THOUGHT}yes<|im_end|>"
    assert "chosen_trained" not in data.train[1]
    plain = load_data(plan_of({"dataset": "pairs.jsonl"}, stage="dpo"), encoder)
    assert [row["prompt_ids"] for row in data.train] == [row["prompt_ids"] for row in plain.train]
    assert data.facts["trained_tokens"] < plain.facts["trained_tokens"]


def test_in_labelled_answers_too_and_in_those_of_others(plan_of, write_rows, encoder):
    rows = [
        {"prompt": [{"role": "user", "content": each}], "completion": f"{THOUGHT}{each}", "label": each == "one"}
        for each in ("one", "two")
    ]
    write_rows("labelled.jsonl", *rows)
    plan = plan_of({"dataset": "labelled.jsonl"}, stage="kto", loss_scale="ignore_empty_think")
    data = load_data(plan, encoder)
    batch = data.collator(data.train)
    answers = ["one<|im_end|>", "two<|im_end|>"]
    assert [trained_text(encoder, each) for each in batch["labels"]] == [[text] for text in answers]
    assert [trained_text(encoder, each) for each in batch["kl_labels"]] == [[text] for text in reversed(answers)]


@pytest.mark.parametrize(("stage", "side"), [("dpo", "chosen"), ("kto", "labelled")])
def test_a_fraction_in_pairs_is_an_error_with_its_row(plan_of, write_rows, encoder, stage, side):
    write_rows("pairs.jsonl", pair("yes", "no"), pair("a <tool_call>b</tool_call>", "no"))
    half = [{"name": "hermes", "kwargs": {"call_weight": 0.5}}]
    plan = plan_of({"dataset": "pairs.jsonl"}, stage=stage, loss_scale=half)
    with pytest.raises(SwiftError) as caught:
        load_data(plan, encoder)
    (problem,) = caught.value.problems
    assert problem.code == "fractional-weight"
    assert problem.place.line == 2
    assert problem.message == (
        f"The loss scale default+hermes gives a token of the {side} answer the weight 0.5, and where answers are "
        "compared a token is trained (1) or not (0)."
    )


def test_a_scale_that_trains_prompts_has_no_meaning_in_pairs(plan_of, write_rows, encoder):
    write_rows("pairs.jsonl", pair("yes", "no"))
    with pytest.raises(SwiftError, match="The loss scale all trains what stands before the chosen answer"):
        load_data(plan_of({"dataset": "pairs.jsonl"}, stage="dpo", loss_scale="all"), encoder)


def test_a_pair_of_which_nothing_is_left_is_an_error(plan_of, write_rows, encoder, tmp_path):
    (tmp_path / "none.py").write_text(
        "class Nothing:\n    def get_loss_scale(self, context, context_type, is_last_round):\n"
        "        return [context], [0.0]\n"
    )
    write_rows("pairs.jsonl", pair("yes", "no"))
    plan = plan_of({"dataset": "pairs.jsonl"}, allow_code=True, stage="dpo", loss_scale=["./none.py:Nothing"])
    with pytest.raises(SwiftError, match="No token of this row would be trained"):
        load_data(plan, encoder)


def test_what_a_scale_keeps_out_of_an_answer_is_shown(plan_of, write_rows, encoder):
    write_rows("pairs.jsonl", pair(f"{THOUGHT}yes", "no"))
    plan = plan_of({"dataset": "pairs.jsonl"}, stage="dpo", loss_scale="ignore_empty_think")
    chosen, _ = mask_preview(load_data(plan, encoder).train, encoder)
    assert [piece["text"] for piece in chosen["pieces"] if piece["trained"]] == ["yes<|im_end|>"]


@pytest.mark.parametrize("scale", ["", "ignore_empty_think"])
def test_in_pairs_of_several_turns_what_others_say_is_not_trained(plan_of, write_rows, encoder, scale):
    answers = [[("assistant", "5"), ("user", "sure?"), ("assistant", "7")], [("assistant", "6")]]
    chosen, rejected = ([{"role": role, "content": text} for role, text in answer] for answer in answers)
    write_rows("pairs.jsonl", pair(chosen, rejected))
    scales = {"loss_scale": scale} if scale else {}
    data = load_data(plan_of({"dataset": "pairs.jsonl"}, stage="dpo", **scales), encoder)

    labels = data.collator(data.train)["labels"]

    assert [trained_text(encoder, each) for each in labels] == [["5<|im_end|>", "7<|im_end|>"], ["6<|im_end|>"]]
    assert "sure?" in encoder.decode(data.train[0]["chosen_ids"])
