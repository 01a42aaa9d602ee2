"""The files of examples/plugins train a run, and do what they say."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from swift_core.config.load import load
from swift_core.errors import SwiftError
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve
from swift_core.run import run

FILES = Path(__file__).parents[3] / "examples" / "plugins"


@pytest.fixture
def train(tmp_path, tiny_folder):
    """Return a function (overrides) -> the run directory."""

    def work(*overrides):
        data = ["data.dataset=demo:chat#32", "data.val_dataset=demo:chat-heldout#8"]
        own = [f"model.model_id={tiny_folder}", f"output_dir={tmp_path / 'out'}", *data]
        return run(FILES / "run.yaml", [*own, *overrides], allow_code=True)

    return work


def test_all_of_them_train_one_run(train):
    directory = train("train.warmup_steps=0", "train.learning_rate=1e-3")
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert [line["learning_rate"] for line in steps] == pytest.approx([0.02, 0.02, 0.01, 0.01])
    assert all(line["slowest_step"] > 0 for line in steps)
    assert 0 < lines[0]["eval_confidence"] < 1
    trained = load_file(directory / "model" / "norms.safetensors")
    assert trained
    assert all(value.ndim < 2 for value in trained.values())


def test_what_the_tuner_saved_is_read_back(train):
    directory = train()
    trained = load_file(directory / "model" / "norms.safetensors")
    done = resolve(load(FILES / "run.yaml"), installed(allow_code=True))
    tuner = done.create(done.tuner)
    base = load_base_of(directory)
    moved = dict(tuner.from_pretrained(base, directory / "model").named_parameters())
    assert all(torch.equal(moved[name], value) for name, value in trained.items())


def load_base_of(directory):
    """Return the untrained model of a run."""
    from transformers import AutoModelForCausalLM

    plan = json.loads((directory / "plan.json").read_text())
    return AutoModelForCausalLM.from_pretrained(plan["settings"]["model"]["model_id"]["value"], dtype="float32")


def test_an_optimizer_with_its_own_schedule_sets_the_rate(train):
    directory = train(
        "train.optimizer_type=./by_rows.py:by_rows",
        "train.optimizer_kwargs={rows_to_half: 16}",
        "train.lr_scheduler_type=linear",
        "train.lr_scheduler_kwargs={}",
        "train.learning_rate=1e-3",
        "train.per_device_train_batch_size=8",
    )
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    rates = [line["learning_rate"] for line in lines if "loss" in line]
    assert rates == pytest.approx([1e-3, 7.5e-4, 5e-4, 5e-4])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.tuner_kwargs={lr_facter: 1.0}", "there is no option 'lr_facter'; the option is lr_factor"),
        ("train.lr_scheduler_kwargs={num_stairs: 0}", "num_stairs must be >= 1, got 0"),
        ("train.tuner_kwargs={lr_factor: -1.0}", "lr_factor must be > 0, got -1.0"),
    ],
)
def test_their_options_are_checked(train, override, message):
    with pytest.raises(SwiftError, match=message):
        train(override)
