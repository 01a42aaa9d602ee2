"""Runs whose parts are all registered by files written for ms-swift."""

import json
import logging
import re
import shutil
from pathlib import Path

import pytest

from swift_core.errors import SwiftError
from swift_core.run import run

FOURTH = Path(__file__).parent / "files" / "fourth.py"
EXAMPLES = Path(__file__).parents[3] / "examples" / "ms_swift"


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def example(tmp_path, demo_folder):
    """Return a function that trains one of the examples' run files, or another file in their folder."""
    folder = Path(shutil.copytree(EXAMPLES, tmp_path / "example"))
    shutil.copy(FOURTH, folder)

    def train(name, *overrides, text=None):
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8")
        return run(folder / name, [*overrides, f"output_dir={tmp_path / 'out'}"], allow_code=True)

    return train


def test_training_takes_loss_scale_optimizer_tuner_metric_and_callback_of_the_third_version(example, caplog):
    caplog.set_level(logging.INFO, "swift_core.ms_swift")
    out = example("run.yaml", "train.max_steps=2", "train.logging_steps=1")
    logged = lines(out)
    first, last = (next(line for line in order if "eval_loss" in line) for order in (logged, logged[::-1]))
    assert last["eval_loss"] < first["eval_loss"]
    assert 0 < last["eval_right_tokens"] <= 1
    assert [record.getMessage() for record in caplog.records] == ["step 1 is done", "step 2 is done"]
    assert "ia3" in (out / "adapter" / "adapter_config.json").read_text().lower()
    assert len(list((out / "plugins").glob("plugin-*.py"))) == 1
    parts = {part["kind"]: part["name"] for part in json.loads((out / "plan.json").read_text())["parts"]}
    assert parts["optimizer"] == "momentum"
    assert parts["loss_scale"] == "first_word"


def test_training_takes_outcome_and_process_rewards(example):
    out = example("grpo.yaml", "train.max_steps=1", "train.logging_steps=1", "plugins.sandbox.mode=off")
    (line,) = [line for line in lines(out) if "loss" in line]
    assert 0 <= line["reward/ends_with_solution"] <= 1
    assert 0 < line["reward/short_steps"] < 1


FOURTH_RUN = """
model: {model_id: "demo:tiny"}
data: {dataset: "demo:chat#16", val_dataset: "demo:chat-heldout#8"}
plugins: {ms_swift_files: [fourth.py]}
train:
  loss_type: scaled
  loss_kwargs: {arguments: {factor: 0.5}}
  loss_scale: shouting
  optimizer_type: plain
  tuner_strategy: embeddings
  metrics: [right]
  callbacks: [counter]
  max_steps: 2
  logging_steps: 1
  learning_rate: 0.5
  eval_generation_rows: 1
"""


def test_training_takes_classes_of_the_fourth_version(example):
    from swift_core.ms_swift.load import _records

    out = example("fourth.yaml", text=FOURTH_RUN)
    rates = [line["learning_rate"] for line in lines(out) if "loss" in line]
    assert rates == pytest.approx([0.5, 0.25])
    (record,) = [record for record in _records.values() if ("callback", "counter") in record.plugins]
    assert record.plugins["callback", "counter"].num_steps == 2


def test_losses_and_callbacks_read_the_trainer_while_they_are_built_and_log_figures(example):
    from swift_core.ms_swift.load import _records

    keys = ("train.loss_type=counted", "train.loss_kwargs={}", "train.callbacks=[early]", "train.loss_scale=[]")
    out = example("fourth.yaml", *keys, "train.metrics=[]", text=FOURTH_RUN)
    logged = [line for line in lines(out) if "loss" in line]
    assert [line["nll"] for line in logged] == pytest.approx([line["loss"] for line in logged], rel=1e-5)
    assert {line["vocabulary"] for line in logged} == {float(logged[0]["vocabulary"])}
    assert logged[0]["vocabulary"] > 100
    (record,) = [record for record in _records.values() if ("callback", "early") in record.plugins]
    assert record.plugins["callback", "early"].num_rows == 16


def test_a_step_does_not_change_with_the_split_into_micro_batches(example, tmp_path):
    keys = ("train.max_steps=1", "train.logging_steps=1", "train.metrics=[]", "train.learning_rate=0.5")
    losses = []
    for rows, batches in ((8, 1), (2, 4)):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        split = (f"train.per_device_train_batch_size={rows}", f"train.gradient_accumulation_steps={batches}")
        losses.append(next(line for line in lines(example("run.yaml", *keys, *split)) if "loss" in line)["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


PLAN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:chat"}
plugins: {ms_swift_files: [plugin.py]}
train: {TRAIN}
"""


def planned(tmp_path, source, train):
    from swift_core.config.load import load
    from swift_core.plugins.registry import installed
    from swift_core.resolve.plan import resolve

    (tmp_path / "plugin.py").write_text(source, encoding="utf-8")
    (tmp_path / "run.yaml").write_text(PLAN.replace("TRAIN", train), encoding="utf-8")
    return resolve(load(tmp_path / "run.yaml"), installed(), planning=True)


LOSS = "from swift.plugin import loss_mapping\ndef mine(outputs, labels): ...\nloss_mapping['NAME'] = mine\n"


def test_a_name_that_our_wheels_have_too_must_be_said_in_full(tmp_path):
    source = LOSS.replace("NAME", "cross_entropy")
    with pytest.raises(SwiftError, match=re.escape("write swift-core:cross_entropy or ./plugin.py:cross_entropy")):
        planned(tmp_path, source, "loss_type: cross_entropy")
    assert planned(tmp_path, source, "loss_type: ./plugin.py:cross_entropy").loss.plugin.dialect == "ms_swift"
    assert planned(tmp_path, source, "loss_type: swift-core:cross_entropy").loss.plugin.dialect == ""


def test_planning_runs_nothing_of_a_file(tmp_path):
    source = LOSS.replace("NAME", "mine") + "from swift.llm import Template\nopen('IT_RAN', 'w')\n"
    plan = planned(tmp_path, source, "loss_type: mine")
    assert not Path("IT_RAN").exists()
    assert any(note.startswith("plugin.py:4: Template of swift.llm is not here") for note in plan.notes)


def test_a_token_loss_of_a_file_is_refused_in_a_pair_stage(tmp_path):
    with pytest.raises(SwiftError, match=r"error\[stage-mismatch\]: the loss 'mine' reads single answers"):
        planned(tmp_path, LOSS.replace("NAME", "mine"), "loss_type: mine, stage: dpo")


def test_a_mistyped_name_is_told_with_those_of_the_file(tmp_path):
    with pytest.raises(SwiftError, match=r"no loss named 'minn'\. Did you mean 'mine'"):
        planned(tmp_path, LOSS.replace("NAME", "mine"), "loss_type: minn")


def test_a_file_that_registers_nothing_is_told(tmp_path):
    with pytest.raises(SwiftError, match=r"run\.yaml:3:28: error\[nothing-registered\]"):
        planned(tmp_path, "x = 1\n", "max_steps: 1")


def test_a_file_for_ms_swift_that_is_named_as_ours_says_where_to_list_it(tmp_path):
    from swift_core.plugins.registry import installed

    (tmp_path / "plugin.py").write_text(LOSS.replace("NAME", "mine"), encoding="utf-8")
    registry = installed(allow_code=True)
    with pytest.raises(SwiftError, match=re.escape("plugins: {ms_swift_files: [plugin.py]}")):
        registry.load(registry.resolve("loss", "./plugin.py:mine", tmp_path))


def test_a_file_does_not_run_from_a_folder_that_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    plan = planned(tmp_path, LOSS.replace("NAME", "mine"), "loss_type: mine")
    with pytest.raises(SwiftError, match="untrusted-code"):
        plan.load(plan.loss)
