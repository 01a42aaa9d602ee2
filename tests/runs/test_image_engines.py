"""Rows with images on one process, on DDP and on FSDP2: the same weights, over gloo on CPUs, and exact resumes."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest
from tests.runs.ranks import Ranks, largest_difference, losses, weights

from swift_core.testing.tiny_vision import tiny_vision_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are forked as on Linux"),
]

ALONE = ("train.gradient_accumulation_steps=2",)
SAVED = ("train.save_strategy=steps", "train.save_steps=2")
DRAWN = Path(__file__).parents[2] / "examples" / "images" / "make.py"


def shared(method, *more):
    return (f"device.parallel_method={method}", "device.num_processes=2", *more)


@pytest.fixture(scope="module")
def ranks():
    return Ranks()


@pytest.fixture
def folder(tmp_path):
    """Return a function (name, family, stage) -> a new folder with a run file, drawn rows and a model."""

    def make(name, family, stage="sft"):
        place = tmp_path / name
        place.mkdir()
        spec = importlib.util.spec_from_file_location("drawn_images", DRAWN)
        drawn = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(drawn)
        drawn.write_rows(place, "train", 48, pairs=stage == "dpo")
        drawn.write_rows(place, "held-out", 8, pairs=stage == "dpo")
        tiny_vision_model(place / "model", family=family)
        sections = {
            "model": {"model_id": "./model"},
            "data": {"dataset": "train.jsonl", "val_dataset": "held-out.jsonl", "shuffle": False},
            "train": {
                "stage": stage,
                "tuner_strategy": "full",
                "learning_rate": 1e-3,
                "max_steps": 4,
                "per_device_train_batch_size": 4,
                "logging_steps": 1,
                "max_grad_norm": 0,
                "max_completion_length": 6,
                "save_strategy": "no",
            },
            "device": {"use_cpu": True},
            "output_dir": "out",
        }
        (place / "run.yaml").write_text(json.dumps(sections))
        return place

    return make


def train(ranks, place, number, *arguments):
    return ranks(place, number, "train", "run.yaml", *arguments, OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")


def figures(place):
    lines = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in lines for name in ("loss", "eval_loss") if name in line]


@pytest.mark.parametrize(("family", "stage"), [("llava", "sft"), ("qwen2_vl", "sft"), ("llava", "dpo")])
def test_images_are_learned_from_alike_on_one_process_on_ddp_and_on_fsdp2(ranks, folder, family, stage):
    one, two, three = (folder(name, family, stage) for name in ("one", "ddp", "fsdp2"))

    train(ranks, one, 1, *ALONE)
    train(ranks, two, 2, *shared("ddp"))
    train(ranks, three, 2, *shared("fsdp2"))

    assert figures(one / "out") == figures(two / "out") == figures(three / "out")
    assert largest_difference(weights(one / "out"), weights(two / "out")) == 0
    assert largest_difference(weights(one / "out"), weights(three / "out")) == 0
    before = weights(one / "out").keys()
    assert any("vis" in name for name in before)


@pytest.mark.parametrize(("method", "kind"), [("ddp", ""), ("fsdp2", "full"), ("fsdp2", "sharded")])
def test_a_run_on_images_in_two_processes_goes_on_bit_for_bit(ranks, folder, method, kind):
    """Of a family whose weights have other names in files than in the model."""
    whole = folder("whole", "qwen2_vl")
    engine = shared(method, *SAVED, *([f"device.engine_kwargs.state_dict={kind}"] if kind else []))
    train(ranks, whole, 2, *engine)
    again, alone = whole.with_name("again"), whole.with_name("alone")
    shutil.copytree(whole, again)
    shutil.copytree(whole, alone)

    train(ranks, again, 2, *engine, "--resume", "out/checkpoint-2")
    train(ranks, alone, 1, *ALONE, *SAVED, "--resume", "out/checkpoint-2")

    assert losses(again / "out") == losses(whole / "out")
    assert largest_difference(weights(again / "out"), weights(whole / "out")) == 0
    assert losses(alone / "out") == pytest.approx(losses(whole / "out"), abs=1e-5)


def test_a_frozen_tower_and_an_adapter_learn_alike_on_ddp_and_fsdp2(ranks, folder):
    options = (
        "train.tuner_strategy=lora",
        "train.tuner_kwargs={lora_rank: 4, target_modules: 'part:language', modules_to_save: ['part:aligner']}",
    )
    one, two, three = (folder(name, "llava") for name in ("one", "ddp", "fsdp2"))

    train(ranks, one, 1, *ALONE, *options)
    train(ranks, two, 2, *shared("ddp"), *options)
    train(ranks, three, 2, *shared("fsdp2"), *options)

    assert figures(one / "out") == figures(two / "out") == figures(three / "out")
    assert largest_difference(weights(one / "out"), weights(two / "out")) == 0
    assert largest_difference(weights(one / "out"), weights(three / "out")) == 0


def test_a_process_whose_batch_has_no_image_goes_along_under_ddp(ranks, folder):
    one, two = (folder(name, "llava") for name in ("one", "ddp"))
    for place in (one, two):
        lines = [json.loads(line) for line in (place / "train.jsonl").read_text().splitlines()]
        for index, row in enumerate(lines):
            if index // 4 % 2 == index // 8 % 2:  # of each two batches one, in turn
                row["messages"][0]["content"] = "What colour?"
                del row["images"]
        (place / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))

    train(ranks, one, 1, *ALONE)
    train(ranks, two, 2, *shared("ddp"))

    assert figures(one / "out") == figures(two / "out")
    assert largest_difference(weights(one / "out"), weights(two / "out")) == 0
