"""Stages that draw their own answers, where processes share weights out: the same figures and weights as under DDP."""

import importlib.util
import json
import sys

import pytest
from tests.runs.ranks import Ranks, largest_difference, weights

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="processes are forked as on Linux")]

RUN = """\
model: {model_id: "demo:tiny", TEACHER}
data: {dataset: "DATA", shuffle: false}
device: {num_processes: 2}
train:
  stage: STAGE
  tuner_strategy: full
  max_steps: 3
  per_device_train_batch_size: 2
  logging_steps: 1
  learning_rate: 1e-3
  max_grad_norm: 0
  max_completion_length: 6
  save_strategy: "no"
output_dir: out
"""
REWARDED = """\
reward: {orms: [{name: length, kwargs: {max_length: 2, slack: 6}}]}
rollout: {num_generations: 4, temperature: 1.5}
"""
DRAWN = "rollout: {lmbda: 1.0, temperature: 1.5}\n"
FIGURES = ("loss", "reward", "kl", "completion_length")


@pytest.fixture(scope="module")
def ranks(demo_folder):
    return Ranks()


def trained(ranks, folder, stage, method, *overrides):
    """Train in two processes; return the figures of the steps, and the run directory."""
    place = folder / method
    place.mkdir()
    data, more = ("demo:chat", DRAWN) if stage == "gkd" else ("demo:prompts", REWARDED)
    text = RUN.replace("STAGE", stage).replace("DATA", data)
    teacher = 'teacher_model_id: "demo:tiny"' if stage == "gkd" else "dtype: float32"
    (place / "run.yaml").write_text(text.replace("TEACHER", teacher) + more)
    arguments = ("train", "run.yaml", f"device.parallel_method={method}", *overrides)
    ranks(place, 2, *arguments, OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")
    lines = [json.loads(line) for line in (place / "out" / "metrics.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in FIGURES if name in line} for line in lines if "loss" in line], place / "out"


@pytest.mark.parametrize("stage", ["ppo", "gkd", "online_dpo"])
def test_answers_are_drawn_and_learned_from_alike_where_weights_are_shared_out(ranks, tmp_path, stage):
    ddp, one = trained(ranks, tmp_path, stage, "ddp")
    fsdp2, two = trained(ranks, tmp_path, stage, "fsdp2")

    assert len(ddp) == 3
    assert fsdp2 == ddp
    assert largest_difference(weights(one), weights(two)) == 0


@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="deepspeed is not installed: nox -s engines")
@pytest.mark.parametrize(
    ("stage", "method"),
    [("ppo", "zero2"), ("gkd", "zero2"), ("gkd", "zero3"), ("online_dpo", "zero2"), ("online_dpo", "zero3")],
)
def test_answers_are_learned_from_alike_under_zero(ranks, tmp_path, stage, method):
    linear = ("train.optimizer_type=sgd", "train.learning_rate=0.05")  # AdamW would make steps of rounding
    ddp, one = trained(ranks, tmp_path, stage, "ddp", *linear)
    zero, two = trained(ranks, tmp_path, stage, method, *linear)

    for mine, theirs in zip(zero, ddp, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-6)
    assert largest_difference(weights(one), weights(two)) < 1e-6
