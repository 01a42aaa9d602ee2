"""One model held by two processes: what one process trains, over gloo on CPUs."""

import json
import shutil
import sys

import pytest
from tests.runs.ranks import Ranks, largest_difference, losses, weights

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked as on Linux")

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "DATA", val_dataset: "DATA-heldout", shuffle: false}
train:
  stage: STAGE
  tuner_strategy: full
  optimizer_type: adamw
  max_steps: 3
  per_device_train_batch_size: 2
  logging_steps: 1
  save_strategy: steps
  save_steps: 2
  max_completion_length: 2
output_dir: out
"""
CUT = ("device.num_processes=2", "device.tensor_parallel_size=2")


@pytest.fixture(scope="module")
def ranks(demo_folder):
    return Ranks()


def folder(tmp_path, name, stage="sft", data="demo:chat"):
    place = tmp_path / name
    place.mkdir()
    (place / "run.yaml").write_text(RUN.replace("STAGE", stage).replace("DATA", data))
    return place


def train(ranks, place, number, *arguments):
    return ranks(place, number, "train", "run.yaml", *arguments, OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")


def held_out(place):
    lines = map(json.loads, (place / "out" / "metrics.jsonl").read_text().splitlines())
    return [line["eval_loss"] for line in lines if "eval_loss" in line]


def test_two_processes_train_one_model_as_one_does_and_go_on_exactly(ranks, tmp_path):
    alone, cut = folder(tmp_path, "alone"), folder(tmp_path, "cut")
    train(ranks, alone, 1)
    train(ranks, cut, 2, *CUT)
    again, by_one = tmp_path / "again", tmp_path / "by_one"
    shutil.copytree(cut, again)
    shutil.copytree(cut, by_one)

    train(ranks, again, 2, *CUT, "--resume", "out/checkpoint-2")
    log = train(ranks, by_one, 1, "--resume", "out/checkpoint-2")

    assert losses(cut / "out") == pytest.approx(losses(alone / "out"), abs=1e-5)
    assert held_out(cut) == pytest.approx(held_out(alone), abs=1e-5)
    assert largest_difference(weights(cut / "out"), weights(alone / "out")) < 1e-5
    engine = json.loads((cut / "out" / "result.json").read_text())["facts"]["engine"]
    assert (engine["engine"], engine["tensor_parallel_size"], engine["world"]) == ("tp", 2, 2)
    assert losses(again / "out") == losses(cut / "out")
    assert largest_difference(weights(again / "out"), weights(cut / "out")) == 0
    assert "device.tensor_parallel_size: 2 -> 1" in log
    assert largest_difference(weights(by_one / "out"), weights(cut / "out")) < 1e-5


@pytest.mark.slow
def test_a_reference_that_is_cut_too_stays_as_it_was(ranks, tmp_path):
    alone, cut = (folder(tmp_path, name, "dpo", "demo:preference") for name in ("alone", "cut"))
    accumulated = ("train.gradient_accumulation_steps=2",)

    train(ranks, alone, 1, *accumulated)
    train(ranks, cut, 2, *CUT, *accumulated)

    assert losses(cut / "out") == pytest.approx(losses(alone / "out"), abs=1e-5)
    assert held_out(cut) == pytest.approx(held_out(alone), abs=1e-5)
    assert held_out(cut)[-1] < held_out(cut)[0]
    assert largest_difference(weights(cut / "out"), weights(alone / "out")) < 1e-5


def test_heads_that_processes_cannot_share_evenly_are_refused_before_the_model_is_loaded(ranks, tmp_path):
    place = folder(tmp_path, "three")

    log = ranks(place, 3, "train", "run.yaml", "device.num_processes=3", "device.parallel_method=tp", code=2)

    assert "error[tensor-parallel]: LlamaForCausalLM has 4 attention heads, which 3 processes cannot share" in log
    assert not (place / "out").exists()
