"""What is known of lines before a model is loaded: tokens saved, packs, and models that cannot."""

import json
import re
import shutil

import pytest

from swift_core.assemble.data.load import load_data
from swift_core.assemble.data.survey import model_folder, survey
from swift_core.assemble.encoder import LightEncoder
from swift_core.assemble.lines import refuse_model, saving
from swift_core.assemble.packing import packed
from swift_core.config.load import load
from swift_core.errors import SwiftError
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve


def pair(prompt, chosen, rejected):
    return {"prompt_ids": [1] * prompt, "chosen_ids": [2] * chosen, "rejected_ids": [3] * rejected}


def test_saving_is_the_second_copy_of_each_prompt():
    saved = saving([pair(10, 4, 6), pair(2, 1, 1)])
    assert (saved.num_shared, saved.num_unshared) == (24, 36)
    assert saved.share == pytest.approx(1 / 3)


@pytest.mark.parametrize(("prompt", "is_worth_it"), [(3, True), (2, False)])
def test_a_tenth_of_the_tokens_is_worth_it(prompt, is_worth_it):
    assert saving([pair(prompt, 10, 10)]).is_worth_it is is_worth_it  # 3 of 26 and 2 of 24 tokens


def test_no_pairs_save_nothing():
    assert saving([]).share == 0.0


@pytest.fixture
def recurrent_folder(tiny_folder, tmp_path):
    """The tiny model with a configuration that claims linear attention."""
    folder = tmp_path / "recurrent"
    shutil.copytree(tiny_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"layer_types": ["linear_attention", "full_attention"]}))
    return folder


@pytest.fixture
def plan_with(tmp_path, tiny_folder):
    """Return a function (rows, keys of `train`, keys of `data`, model) -> the plan of such a run."""

    def make(rows, train, data=None, model=None):
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        content = {
            "model": {"model_id": str(model or tiny_folder)},
            "data": {"dataset": "rows.jsonl", **(data or {})},
            "train": train,
        }
        path = tmp_path / "run.yaml"
        path.write_text(json.dumps(content))
        return resolve(load(path), installed())

    return make


def pairs(question):
    return [{"prompt": question, "chosen": "Yes.", "rejected": "No."}] * 8


ANSWER = {"prompt": "What colour is the sky?", "completion": " Blue."}


@pytest.mark.parametrize(
    ("rows", "train", "message"),
    [
        ([ANSWER], {"packing": True}, "rows cannot be packed for this model: it has layers of the kind linear"),
        (
            pairs("?"),
            {"stage": "dpo", "share_prompt": True},
            "the prompt of a pair cannot be computed once: this model cannot: it has",
        ),
    ],
)
def test_a_model_that_cannot_is_refused_by_its_configuration(plan_with, recurrent_folder, rows, train, message):
    plan = plan_with(rows, train, model=recurrent_folder)
    for look in (lambda: refuse_model(plan, recurrent_folder), lambda: survey(plan)):
        with pytest.raises(SwiftError, match=message) as caught:
            look()
        assert caught.value.problems[0].place is not None


@pytest.mark.parametrize("train", [{}, {"stage": "dpo"}])
def test_a_model_that_cannot_is_welcome_where_nothing_insists(plan_with, recurrent_folder, train):
    refuse_model(plan_with(pairs("?"), train, model=recurrent_folder), recurrent_folder)


@pytest.mark.parametrize(
    ("question", "share_prompt", "note"),
    [
        ("What colour is the sky? " * 9, "auto", r"prompts are computed once for both answers: it saves 4\d% of the"),
        ("?", "auto", r"prompts are computed twice: once would save \d% of the tokens"),
        ("?", True, "prompts are computed once for both answers"),
        ("What colour is the sky?", False, r"prompts are computed twice: share_prompt is false; once would save \d\d%"),
    ],
)
def test_a_plan_says_what_becomes_of_prompts(plan_with, question, share_prompt, note):
    (said,) = survey(plan_with(pairs(question), {"stage": "dpo", "share_prompt": share_prompt})).notes
    assert re.match(note, said)


def test_a_plan_says_why_prompts_are_not_shared(plan_with, recurrent_folder):
    (said,) = survey(plan_with(pairs("What colour is the sky?"), {"stage": "dpo"}, model=recurrent_folder)).notes
    assert said.startswith("prompts are computed twice: it has layers of the kind linear_attention")


def test_a_plan_counts_the_steps_of_packs(plan_with):
    rows = [{"prompt": "?" * number, "completion": " Blue."} for number in range(1, 60)]
    train = {"packing": True, "per_device_train_batch_size": 2, "num_train_epochs": 3}
    plan = plan_with(rows, train, {"max_length": 100})
    found = survey(plan)
    data = packed(plan, load_data(plan, LightEncoder.open(model_folder(plan))))
    assert found.steps_per_epoch == -(-len(data.train) // 2)
    assert found.num_steps == 3 * found.steps_per_epoch
    assert data.facts["packs"] == len(data.train) < len(rows) / 2
    (said,) = found.notes
    assert said == f"packed into {len(data.train)} places of 100 tokens, {data.train.efficiency:.0%} of them filled"


def test_a_plan_of_many_rows_estimates_packs(plan_with, monkeypatch):
    monkeypatch.setattr("swift_core.assemble.data.survey.MOST_ROWS", 20)
    plan = plan_with([ANSWER] * 60, {"packing": True, "per_device_train_batch_size": 1}, {"max_length": 100})
    found = survey(plan)
    whole = packed(plan, load_data(plan, LightEncoder.open(model_folder(plan))))
    assert found.steps_per_epoch == pytest.approx(len(whole.train), rel=0.15)
    assert re.match(r"packed into about \d+ places of 100 tokens", found.notes[-1])


def test_data_that_is_not_packed_is_left_as_it_is(plan_with):
    plan = plan_with([ANSWER] * 3, {})
    data = load_data(plan, LightEncoder.open(model_folder(plan)))
    assert packed(plan, data) is data
