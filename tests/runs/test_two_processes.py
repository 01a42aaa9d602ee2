"""Two processes over gloo: the same losses and weights as one process with twice the accumulation."""

import json

import pytest
from safetensors.numpy import load_file
from tests.runs.ranks import torchrun

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:DATA", val_dataset: "demo:DATA-heldout", shuffle: false}
train:
  stage: STAGE
  tuner_strategy: full
  optimizer_type: native_adamw
  max_steps: 4
  per_device_train_batch_size: 8
  logging_steps: 1
  save_strategy: "no"
"""


def logged(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("stage", "data"), [("sft", "chat"), pytest.param("dpo", "preference", marks=pytest.mark.slow)]
)
def test_two_ranks_train_as_one_with_twice_the_accumulation(swift, stage, data):
    swift.write("run.yaml", RUN.replace("STAGE", stage).replace("DATA", data))
    swift("train", "run.yaml", "output_dir=one", "train.gradient_accumulation_steps=2")
    code, output = torchrun(
        swift.folder,
        "train",
        "run.yaml",
        "output_dir=two",
        "device.parallel_method=ddp",
        "device.num_processes=2",
    )
    assert code == 0, output
    one, two = (logged(swift.folder / name) for name in ("one", "two"))
    for name in ("loss", "eval_loss"):
        assert [row[name] for row in two if name in row] == pytest.approx(
            [row[name] for row in one if name in row], abs=1e-5
        )
    weights = [load_file(swift.folder / name / "model" / "model.safetensors") for name in ("one", "two")]
    largest = max(abs(weights[0][name] - weights[1][name]).max() for name in weights[0])
    assert largest < 1e-5


def test_processes_that_the_run_file_does_not_ask_for_are_refused(swift):
    swift.write("run.yaml", RUN.replace("STAGE", "sft").replace("DATA", "chat"))
    code, output = torchrun(swift.folder, "train", "run.yaml", "output_dir=out")
    assert code != 0, output
    assert "error[" in output
    assert "num_processes" in output
    assert not (swift.folder / "out").exists()
