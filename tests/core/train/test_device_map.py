"""A model on two devices of one process trains as on one; the second device is a stand-in (`twin.py`)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "DATA", val_dataset: "DATA-heldout", shuffle: false}
train:
  stage: STAGE
  tuner_strategy: full
  optimizer_type: adamw
  max_steps: 2
  per_device_train_batch_size: 4
  logging_steps: 1
  save_strategy: "no"
  max_completion_length: 2
device: {use_cpu: true}
"""
SPREAD = ("device.parallel_method=device_map", 'device.engine_kwargs.device_map={"": cpu}')
SCRIPT = Path(__file__).with_name("two_devices.py")


def run(folder, name, *command):
    out = folder / name
    arguments = [sys.executable, *command, f"output_dir={out}"]
    path = os.pathsep.join([str(SCRIPT.parents[3]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def figures(out):
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [line[name] for line in lines for name in ("loss", "eval_loss", "grad_norm") if name in line]


@pytest.mark.parametrize(
    ("stage", "data"), [("sft", "demo:chat"), pytest.param("dpo", "demo:preference", marks=pytest.mark.slow)]
)
def test_two_devices_train_as_one(tmp_path, demo_folder, stage, data):
    file = tmp_path / "run.yaml"
    file.write_text(RUN.replace("STAGE", stage).replace("DATA", data))

    one = run(tmp_path, "one", "-m", "swift_core", "train", "run.yaml")
    two = run(tmp_path, "two", str(SCRIPT), "run.yaml", *SPREAD)

    assert figures(two) == pytest.approx(figures(one), abs=1e-5)
    first, second = (load_file(out / "model" / "model.safetensors") for out in (one, two))
    assert max(float((first[name] - second[name]).abs().max()) for name in first) < 1e-5
    engine = json.loads((two / "result.json").read_text())["facts"]["engine"]
    assert engine["engine"] == "device_map"
    assert engine["device_map"]["lm_head"] == "twin:0"
    assert engine["device_map"]["model.layers.0"] == "cpu"


def test_tensors_of_two_devices_do_not_mix():
    """The stand-in must refuse what a real second device refuses, or the test above shows nothing."""
    script = (
        "import torch\nfrom tests.core.train.twin import NAME\nweight = torch.ones(2, 2, device=NAME)\n"
        "try:\n    torch.ones(2, 2) @ weight\nexcept RuntimeError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=SCRIPT.parents[3], capture_output=True, text=True, timeout=100, check=False)

    assert "expected all tensors to be on the same device" in done.stdout, done.stderr


def test_room_that_is_too_small_is_refused_before_the_model_is_loaded(monkeypatch, demo_folder):
    from types import SimpleNamespace

    import transformers.integrations.accelerate as spreading

    from swift_core.assemble.device_map import device_map_of
    from swift_core.contracts.parallel import Parallel
    from swift_core.demo.recipe import cached_tiny
    from swift_core.errors import SwiftError

    def plan(limits):
        monkeypatch.setattr(spreading, "get_max_memory", lambda _: dict(limits))
        from swift_core.contracts.settings import DataSettings, ModelSettings, RunSettings

        return SimpleNamespace(
            parallel=Parallel("device_map", 1, 1, {"device_map": "sequential", "max_memory": {}}),
            settings=RunSettings(model=ModelSettings(model_id="demo:tiny"), data=DataSettings(dataset="demo:chat")),
            procedure=SimpleNamespace(source=SimpleNamespace(declared={})),
            tuner=None,
            load=lambda part: part,
            config=SimpleNamespace(place=lambda key: None),
        )

    made = device_map_of(plan({0: 350_000, 1: 10**9, "cpu": 10**9}), cached_tiny())
    assert set(made.values()) == {0, 1}
    assert next(iter(made.values())) == 0
    with pytest.raises(SwiftError, match="the GPUs have no room for"):
        device_map_of(plan({0: 350_000, "cpu": 10**9}), cached_tiny())
