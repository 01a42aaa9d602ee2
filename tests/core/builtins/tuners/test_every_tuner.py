"""Every tuner of core trains whole runs, in sft and dpo, goes on bit for bit, and reads back what it saved."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from swift_core.assemble.trained import load_base, open_run
from swift_core.run import run

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
    "prefix_made": ("prefix", {"num_virtual_tokens": 3, "encoder_hidden_size": 8}),
}
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


@pytest.mark.parametrize("stage", DATA)
@pytest.mark.parametrize("case", TUNERS)
def test_a_run_goes_on_bit_for_bit_and_is_read_back(train, tmp_path, stage, case):
    directory, path = train(stage, case)
    trained = weights(artifact(directory))
    cut_after_two_steps(directory, tmp_path / "cut")
    gone_on = run(path, [f"output_dir={tmp_path / 'cut'}"], resume=str(tmp_path / "cut"))
    again = weights(artifact(gone_on))
    assert trained.keys() == again.keys()
    assert all(torch.equal(trained[name], again[name]) for name in trained)
    assert any(not torch.equal(trained[name], value) for name, value in weights(first_checkpoint(directory)).items())


def first_checkpoint(directory: Path) -> Path:
    return directory / "checkpoint-2"
