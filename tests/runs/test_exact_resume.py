"""Every stage goes on from a checkpoint as if it had not stopped: weights, states and logged figures, bit for bit.

With dropout, accumulation, shuffling, data workers, packing, an average of the weights, a reference that follows.
"""

import json
import shutil

import pytest
from safetensors.numpy import load_file
from tests.runs.faulty import Forks, left_by

RUN = """\
model: {{model_id: "demo:tiny"{model}}}
data: {{dataset: "demo:{data}"{held_out}}}
train:
  stage: {stage}
  tuner_strategy: lora
  tuner_kwargs: {{lora_dropout: 0.1}}
  learning_rate: 2e-3
  max_steps: 6
  per_device_train_batch_size: 2
  gradient_accumulation_steps: 2
  dataloader_num_workers: {workers}
  max_completion_length: 6
  logging_steps: 1
  save_steps: 1
  save_total_limit: 99
  {train}
output_dir: out
"""
TEACHER = ', teacher_model_id: "demo:tiny"'
CASES = {
    "sft, packed, with workers": {"stage": "sft", "data": "chat", "train": "packing: true", "workers": 1},
    "sft, averaged": {"stage": "sft", "data": "chat", "train": "callbacks: [{name: ema, kwargs: {decay: 0.8}}]"},
    "sft, averaged and stopped early": {
        "stage": "sft",
        "data": "chat",
        "held_out": ', val_dataset: "demo:chat-heldout#8"',
        "train": "eval_strategy: steps\n  eval_steps: 1\n  eval_generation_rows: 0\n"
        "  callbacks: [{name: ema, kwargs: {decay: 0.5}}, {name: early_stopping, kwargs: {patience: 9}}]",
    },
    "online_dpo": {
        "stage": "online_dpo",
        "data": "prompts",
        "more": "reward: {orms: [{name: length, kwargs: {max_length: 2, slack: 6}}]}\n"
        "rollout: {num_generations: 2, temperature: 1.5}\n",
    },
    "pt": {"stage": "pt", "data": "chat"},
    "dpo, its reference follows": {
        "stage": "dpo",
        "data": "preference",
        "train": "sync_ref_model: true\n  ref_model_sync_steps: 2",
    },
    "rm": {"stage": "rm", "data": "preference"},
    "prm": {"stage": "prm", "data": "steps"},
    "seq_cls": {"stage": "seq_cls", "data": "classes"},
    "ppo, in the middle of what was drawn": {
        "stage": "ppo",
        "data": "prompts",
        "more": "reward: {orms: [{name: length, kwargs: {max_length: 2, slack: 6}}]}\n"
        "rollout: {num_generations: 2, num_iterations: 2, temperature: 1.5}\n",
    },
    "gkd": {"stage": "gkd", "data": "chat", "model": TEACHER},
    "gkd, on its own answers": {
        "stage": "gkd",
        "data": "chat",
        "model": TEACHER,
        "more": "rollout: {lmbda: 1.0}\n",
    },
}


@pytest.fixture(scope="module")
def forks(demo_folder):
    return Forks()


def run_file(case):
    filled = {"model": "", "held_out": "", "train": "", "workers": 0, "more": "", **case}
    return RUN.format(**filled) + filled["more"]


def states(folder):
    """Return the tensors of the last checkpoint, and what Trainer says of it but times."""
    last = folder / "out" / "checkpoint-6"
    tensors = {
        (path.name, name): value.tobytes()
        for path in last.rglob("*.safetensors")
        for name, value in load_file(path).items()
    }
    state = json.loads((last / "trainer_state.json").read_text())
    return tensors, [line for line in state["log_history"] if "loss" in line], state["stateful_callbacks"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_stage_goes_on_bit_for_bit(forks, tmp_path, name):
    whole, again = tmp_path / "whole", tmp_path / "again"
    whole.mkdir()
    (whole / "run.yaml").write_text(run_file(CASES[name]))
    forks(whole, "train", "run.yaml")
    shutil.copytree(whole, again)
    for file in ("adapter", "result.json", "report.html"):
        path = again / "out" / file
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    forks(again, "train", "run.yaml", "--resume", "out/checkpoint-3")
    assert left_by(again) == left_by(whole)
    for one, other in zip(states(again), states(whole), strict=True):
        assert one == other
