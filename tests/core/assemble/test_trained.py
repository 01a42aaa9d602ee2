import json
import shutil

import pytest
import torch
from click.testing import CliRunner

from swift_core.assemble.answering import answer
from swift_core.assemble.model import Loading, load_tokenizer, load_weights
from swift_core.assemble.trained import open_run
from swift_core.builtins.hubs.local import Local
from swift_core.cli.infer import command
from swift_core.contracts.plan_json import plan_dict
from swift_core.errors import SwiftError


@pytest.fixture
def run(make_plan, tmp_path, tiny_folder):
    """A run directory whose adapter changes the model's answers, as artifacts/ writes it."""
    plan = make_plan("tuner_kwargs: {lora_rank: 4}")
    directory = tmp_path / "made"
    directory.mkdir()
    (directory / "plan.json").write_text(json.dumps(plan_dict(plan)))
    tuner = plan.create(plan.tuner)
    torch.manual_seed(0)
    model = tuner.prepare_model(load_weights(tiny_folder, Loading()))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    tuner.save_pretrained(model, directory / "adapter")
    load_tokenizer(tiny_folder).save_pretrained(directory / "adapter")
    return directory


def test_the_trained_model_answers_beside_the_base(run):
    (both,) = answer(run, ["What is 3 + 4?"], with_base=True, max_new_tokens=5)
    assert list(both) == ["base", "trained"]
    assert both["base"] != both["trained"]
    assert answer(run, ["What is 3 + 4?"], max_new_tokens=5) == [{"trained": both["trained"]}]


def test_one_prompt_prints_the_answer_alone(run):
    expected = answer(run, ["What is 3 + 4?"], max_new_tokens=5)[0]["trained"]
    result = CliRunner().invoke(command, [str(run), "--prompt", "What is 3 + 4?", "--max-new-tokens", "5"])
    assert result.output == f"{expected}\n"


def test_compare_names_whose_answer_each_is(run):
    arguments = [str(run), "--prompt", "a", "--prompt", "b", "--compare", "base", "--max-new-tokens", "2"]
    lines = CliRunner().invoke(command, arguments).output.split("\n")
    assert [line.split()[0] for line in lines if line.startswith(("prompt ", "base ", "trained "))] == [
        "prompt", "base", "trained", "prompt", "base", "trained",
    ]  # fmt: skip


def test_a_run_with_an_adapter_is_a_model_to_train_on_from(run, monkeypatch, tmp_path, tiny_folder):
    monkeypatch.setenv("SWIFT_CACHE", str(tmp_path / "cache"))
    assert Local().peek("made", "main", run.parent) is None
    folder = Local().fetch("made", "main", run.parent)
    opened = open_run(run)
    whole = opened.tuner.from_pretrained(load_weights(tiny_folder, Loading()), opened.artifact)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        assert torch.allclose(
            load_weights(folder, Loading())(input_ids=ids).logits, whole(input_ids=ids).logits, atol=1e-4
        )
    assert Local().fetch("made", "main", run.parent) == folder


def test_a_run_moved_with_its_model_is_still_found(run, tmp_path, tiny_folder):
    plan = json.loads((run / "plan.json").read_text())
    plan["settings"]["model"]["model_id"]["value"] = "./weights"
    plan["run_file"] = str(tmp_path / "gone" / "run.yaml")
    (run / "plan.json").write_text(json.dumps(plan))
    shutil.copytree(tiny_folder, run.parent / "weights")
    assert open_run(run).base_folder == run.parent / "weights"


def spoil(run, how):
    plan = json.loads((run / "plan.json").read_text())
    parts = {part["kind"]: part for part in plan["parts"]}
    if how == "no plan":
        (run / "plan.json").unlink()
        return
    if how == "half a plan":
        (run / "plan.json").write_text("{")
        return
    if how == "no adapter":
        shutil.rmtree(run / "adapter")
    if how == "other version":
        plan["format"] = 99
    if how == "other keys":
        plan["settings"]["model"]["new_key"] = {"value": 1}
    if how == "file plugin":
        parts["tuner"] |= {"origin": "file", "target": "/x/mine.py:Tuner"}
    if how == "tuner gone":
        parts["tuner"]["name"] = "gone"
    if how == "model gone":
        plan["settings"]["model"]["model_id"]["value"] = "./gone"
    (run / "plan.json").write_text(json.dumps(plan))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no plan", "has no plan.json, so it is no run directory"),
        ("half a plan", r"plan\.json is no JSON object"),
        ("no adapter", "has no folder adapter: its training did not end"),
        ("other version", "was written by another version of swift-core"),
        ("other keys", "was written by another version of swift-core"),
        ("file plugin", "which is no installed plugin"),
        ("tuner gone", "gone"),
        ("model gone", r"cannot be had: there is no folder .*gone"),
    ],
)
def test_what_is_no_finished_run_is_refused(run, how, message):
    spoil(run, how)
    with pytest.raises(SwiftError, match=message):
        answer(run, ["a"])
