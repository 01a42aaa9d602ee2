"""Every tuner of core trains whole runs, in sft and dpo, goes on bit for bit, and reads back what it saved."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from swift_core.assemble.model import Loading, load_weights
from swift_core.assemble.trained import load_base, open_run
from swift_core.plugins.options import build
from swift_core.plugins.registry import installed
from swift_core.run import run
from swift_core.train.forward import OutputHead
from swift_core.train.isolation import Isolation, find_isolation

RUN = """\
model: {{model_id: {model}}}
data: {{dataset: {data}, max_length: 256}}
train:
  stage: {stage}
  tuner_strategy: {tuner}
  tuner_kwargs: {options}
  learning_rate: 5e-2
  max_steps: 4
  save_steps: 2
  per_device_train_batch_size: 2
  eval_generation_rows: 0
output_dir: {folder}
"""

TUNERS = {
    "full": ("full", {"freeze": ["embed_tokens"]}),
    "lora": ("lora", {"lora_dropout": 0.1, "loraplus_lr_ratio": 4.0}),
    "rslora": ("lora", {"use_rslora": True, "modules_to_save": ["embed_tokens"]}),
    "pissa": ("lora", {"init_lora_weights": "pissa", "lora_rank": 4}),
    "pissa_fast": ("lora", {"init_lora_weights": "pissa", "lora_rank": 4, "pissa_niter": 4, "use_rslora": True}),
    "olora": ("lora", {"init_lora_weights": "olora", "lora_rank": 4}),
    "dora": ("dora", {}),
    "adalora": ("adalora", {"init_r": 4, "target_r": 2, "tinit": 1, "tfinal": 1}),
    "vera": ("vera", {"vera_rank": 16}),
    "ia3": ("ia3", {}),
    "prompt": ("prompt", {"num_virtual_tokens": 3, "init_text": "Answer with one word."}),
    "prefix": ("prefix", {"num_virtual_tokens": 3}),
}
FROM_BASE = ("pissa", "pissa_fast", "olora")
DATA = {"sft": "demo:chat#24", "dpo": "demo:preference#24"}


@pytest.fixture
def train(tmp_path, tiny_folder):
    """Return a function (stage, case) -> the directory of a whole run, and its run file."""

    def work(stage, case, overrides=()):
        tuner, options = TUNERS[case]
        path = tmp_path / "run.yaml"
        filled = {"model": tiny_folder, "data": DATA[stage], "stage": stage, "tuner": tuner, "options": options}
        path.write_text(RUN.format(**filled, folder=tmp_path / "whole"))
        return run(path, overrides), path

    return work


def cut_after_two_steps(directory, to):
    """Leave in `to` what a run that was killed between its two checkpoints leaves."""
    shutil.copytree(directory, to)
    for name in ("adapter", "model", "checkpoint-4"):
        shutil.rmtree(to / name, ignore_errors=True)
    for name in ("result.json", "report.html"):
        (to / name).unlink(missing_ok=True)


def weights(folder):
    """Return every tensor of a folder's safetensors files."""
    return {f"{file.name}/{name}": t for file in folder.glob("*.safetensors") for name, t in load_file(file).items()}


def artifact(directory):
    return next(directory / name for name in ("adapter", "model") if (directory / name).is_dir())


QUICK = {("full", "sft"), ("pissa", "dpo"), ("adalora", "sft"), ("prompt", "dpo"), ("prefix", "sft")}
"""Tried with every change; the others are slow together."""


@pytest.mark.parametrize(
    ("case", "stage"),
    [
        pytest.param(case, stage, marks=() if (case, stage) in QUICK else pytest.mark.slow)
        for case in TUNERS
        for stage in DATA
    ],
)
def test_a_run_goes_on_bit_for_bit_and_is_read_back(train, tmp_path, stage, case):
    directory, path = train(stage, case)
    trained = weights(artifact(directory))
    cut_after_two_steps(directory, tmp_path / "cut")
    gone_on = run(path, [f"output_dir={tmp_path / 'cut'}"], resume=str(tmp_path / "cut"), resume_changed=True)
    again = weights(artifact(gone_on))
    assert trained.keys() == again.keys()
    assert all(torch.equal(trained[name], again[name]) for name in trained)
    if case not in FROM_BASE:  # their checkpoints hold other matrices than what is saved
        half = weights(directory / "checkpoint-2")
        assert any(not torch.equal(trained[name], value) for name, value in half.items())
    answers = open_run(directory)
    read_back = answers.tuner.from_pretrained(load_base(answers), answers.artifact)
    assert all(bool(torch.isfinite(value).all()) for value in read_back.parameters())


IDS = torch.tensor([[5, 6, 7, 8, 9, 10], [5, 6, 7, 11, 12, 0]])
MASK = (IDS != 0).long()


@pytest.mark.parametrize("case", [case for case in TUNERS if case != "full"])
def test_rows_in_one_line_are_kept_apart_or_the_tuner_says_that_it_cannot(tiny_folder, case):
    """The proof that every run makes, on a trained adapter: hidden states are those of rows that stand alone."""
    name, options = TUNERS[case]
    tuner = build(installed().load(installed().resolve("tuner", name, tiny_folder)), options)
    model = tuner.prepare_model(load_weights(tiny_folder, Loading()))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value.add_(torch.randn(value.shape, generator=generator) * 0.1)
    batch = {"input_ids": IDS, "attention_mask": MASK, "labels": IDS, "lines": torch.tensor([0, 0])}
    found = find_isolation(model, OutputHead(model), batch, shares=True)
    assert isinstance(found, Isolation) is not getattr(tuner, "adds_tokens", False), found
