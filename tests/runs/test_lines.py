"""Packing and shared prompts from the outside: fewer tokens are computed, and the figures are the same."""

import json

import pytest

PAIRS = """\
model: {model_id: "MODEL"}
data: {dataset: "demo:preference", val_dataset: "demo:preference-heldout"}
train:
  stage: dpo
  share_prompt: SHARE
  learning_rate: 1e-3
  max_steps: 3
  per_device_train_batch_size: 8
  logging_steps: 1
  eval_generation_rows: 0
  save_strategy: "no"
output_dir: out-SHARE
"""

PACKED = """\
model: {model_id: "MODEL"}
data: {dataset: "demo:chat", val_dataset: "demo:chat-heldout", max_length: 256}
train:
  stage: sft
  packing: true
  learning_rate: 1e-3
  num_train_epochs: 2
  per_device_train_batch_size: 8
  logging_steps: 1
  eval_generation_rows: 0
  save_steps: 5
  save_total_limit: 9
output_dir: out
"""


def result(folder, name):
    return json.loads((folder / name / "result.json").read_text())


def losses(folder, name):
    lines = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def test_a_run_with_shared_prompts_is_the_run_without(swift, tiny_folder):
    for share in ("true", "false"):
        swift.write(f"{share}.yaml", PAIRS.replace("MODEL", str(tiny_folder)).replace("SHARE", share))
        swift("train", f"{share}.yaml")
    shared, unshared = (result(swift.folder, f"out-{share}") for share in ("true", "false"))
    assert losses(swift.folder, "out-true") == pytest.approx(losses(swift.folder, "out-false"), rel=1e-4)
    assert shared["after"]["eval_loss"] == pytest.approx(unshared["after"]["eval_loss"], rel=1e-4)
    assert shared["facts"]["share_prompt"].startswith("yes: it saves ")
    assert "share_prompt" not in unshared["facts"]


@pytest.mark.slow
def test_a_packed_run_takes_the_steps_of_its_plan_and_goes_on_as_it_would_have(swift, tiny_folder):
    swift.write("run.yaml", PACKED.replace("MODEL", str(tiny_folder)))
    planned = json.loads(swift("plan", "run.yaml", "--json"))["facts"]["data"]
    swift("train", "run.yaml")
    whole = result(swift.folder, "out")
    assert whole["num_steps"] == planned["num_steps"]
    assert whole["facts"]["packing_efficiency"] > 0.9
    assert whole["after"]["eval_loss"] < whole["before"]["eval_loss"]
    expected = losses(swift.folder, "out")
    swift("train", "run.yaml", "--resume", "out/checkpoint-5")
    assert result(swift.folder, "out")["after"]["eval_loss"] == whole["after"]["eval_loss"]
    assert losses(swift.folder, "out") == expected
