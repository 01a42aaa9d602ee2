"""Runs that are killed, stopped, or run out of disk go on, and end as the run that nothing happened to: bit for bit.

SWIFT_FAULTS=N makes N kills of each kind instead of the few of every day.
"""

import json
import multiprocessing
import os
import random
import resource
import runpy
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are set as on Linux")

KILLS = int(os.environ.get("SWIFT_FAULTS", "15"))

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "DATA"}
train:
  stage: STAGE
  tuner_strategy: lora
  tuner_kwargs: {lora_dropout: 0.1}
  learning_rate: 2e-3
  max_steps: 8
  per_device_train_batch_size: 2
  gradient_accumulation_steps: 2
  logging_steps: 1
  save_steps: 1
output_dir: out
"""

STAGES = {"sft": "demo:chat", "dpo": "demo:preference", "kto": "rows.jsonl", "grpo": "demo:prompts"}
PRELOADED = [
    "torch",
    "datasets",
    "peft",
    "transformers.trainer",
    "transformers.models.llama.modeling_llama",
    "swift_core.run",
    "swift_core.artifacts.metrics",
    "swift_core.artifacts.progress",
    "swift_core.train.supervised",
]
UNPAIRED = "".join(
    json.dumps({"prompt": f"{a}+2?", "completion": str(a + 2 + (a % 3 == 0)), "label": a % 3 > 0}) + "\n"
    for a in range(1, 30)
)
DRAWS = "reward: {orms: [math]}\nrollout: {num_generations: 2, num_iterations: 2}\n"


def run_file(stage="sft", save_steps=1):
    text = RUN.replace("DATA", STAGES[stage]).replace("STAGE", stage)
    text = text.replace("save_steps: 1", f"save_steps: {save_steps}")
    return text.replace("  save_steps", "  max_completion_length: 6\n  save_steps") + DRAWS if stage == "grpo" else text


class Forks:
    """Starts `swift` in processes forked from one that has imported what takes seconds."""

    def __init__(self):
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)

    def start(self, folder, *arguments):
        values = {"FOLDER": str(folder), "LOG": str(folder / "log.txt"), "ARGUMENTS": list(map(str, arguments))}
        script = Path(__file__).with_name("forked.py")
        process = self.context.Process(target=runpy.run_path, args=(str(script), values, "__main__"))
        process.start()
        return process

    def __call__(self, folder, *arguments, code=0):
        process = self.start(folder, *arguments)
        process.join(200)
        log = (folder / "log.txt").read_text()
        assert process.exitcode == code, log
        return log


@pytest.fixture(scope="module")
def forked(demo_folder):
    return Forks()


@pytest.fixture(scope="module")
def undisturbed(forked, tmp_path_factory):
    """Return a function (stage) -> the folder of a run that nothing happened to, all its checkpoints kept."""
    made = {}

    def make(stage):
        if stage not in made:
            made[stage] = folder = tmp_path_factory.mktemp(stage)
            (folder / "run.yaml").write_text(run_file(stage))
            (folder / "rows.jsonl").write_text(UNPAIRED)
            forked(folder, "train", "run.yaml", "train.save_total_limit=99")
        return made[stage]

    return make


def left_by(folder):
    """Return what a run left: its weights, and what it logged of its steps but times and speeds."""
    weights = load_file(folder / "out" / "adapter" / "adapter_model.safetensors")
    lines = [json.loads(line) for line in (folder / "out" / "metrics.jsonl").read_text().splitlines()]
    timed = ("time", "train_runtime", "seconds")
    figures = [
        {key: value for key, value in line.items() if key not in timed and not key.endswith("_seconds")}
        for line in lines
        if "loss" in line
    ]
    return {name: value.tobytes() for name, value in weights.items()}, figures


def wait_for(process, is_there, seconds=60):
    """Wait until `is_there()`; say whether the process still lived then."""
    end = time.monotonic() + seconds
    while not is_there():
        if not process.is_alive():
            return False
        assert time.monotonic() < end
        time.sleep(0.0005)
    return True


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_resumed_run_equals_the_uninterrupted_one(forked, undisturbed, tmp_path, stage):
    shutil.copytree(undisturbed(stage), tmp_path, dirs_exist_ok=True)
    for name in ("adapter", "result.json", "report.html"):
        path = tmp_path / "out" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    log = forked(tmp_path, "train", "run.yaml", "train.save_total_limit=99", "--resume", "out/checkpoint-3")
    assert "going on from out/checkpoint-3, as asked" in log
    assert left_by(tmp_path) == left_by(undisturbed(stage))


@pytest.mark.slow
def test_runs_killed_inside_saves_and_at_any_time_end_as_if_they_were_not(forked, undisturbed, tmp_path):
    expected, in_saves = left_by(undisturbed("sft")), 0
    for trial in range(KILLS):
        draw, folder = random.Random(trial), tmp_path / str(trial)
        folder.mkdir()
        (folder / "run.yaml").write_text(run_file())
        process, step = forked.start(folder, "train", "run.yaml"), draw.randint(1, 6)
        if trial % 3 < 2:  # inside a save
            wait_for(process, lambda: (folder / "out" / f".saving-{step}").exists())  # noqa: B023 - called at once
            time.sleep(draw.uniform(0, 0.02))
        else:
            wait_for(process, lambda: (folder / "out" / "metrics.jsonl").exists())  # noqa: B023 - called at once
            time.sleep(draw.uniform(0, 0.8))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        in_saves += bool(list((folder / "out").glob(".saving-*")))
        forked(folder, "train", "run.yaml", "--resume", "auto")
        assert left_by(folder) == expected, trial
        assert not [path.name for path in (folder / "out").iterdir() if path.name.startswith(".")]
        shutil.rmtree(folder)
    assert in_saves >= KILLS // 4


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_at_a_step_with_a_checkpoint_and_without_a_model(forked, undisturbed, tmp_path, number):
    (tmp_path / "run.yaml").write_text(run_file(save_steps=500))
    process = forked.start(tmp_path, "train", "run.yaml")
    assert wait_for(process, lambda: (tmp_path / "out" / "metrics.jsonl").exists())
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == 128 + number, (tmp_path / "log.txt").read_text()
    assert not (tmp_path / "out" / "adapter").exists()
    assert len(list((tmp_path / "out").glob("checkpoint-*"))) == 1
    forked(tmp_path, "train", "run.yaml", "--resume", "auto")
    assert left_by(tmp_path) == left_by(undisturbed("sft"))


@pytest.mark.slow
def test_a_disk_without_room_keeps_the_last_checkpoint_and_says_so(forked, undisturbed, tmp_path):
    (tmp_path / "run.yaml").write_text(run_file())
    process = forked.start(tmp_path, "train", "run.yaml")
    assert wait_for(process, lambda: (tmp_path / "out" / "checkpoint-2").exists())
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
    process.join(60)
    log = (tmp_path / "log.txt").read_text()
    assert process.exitcode == 2, log
    assert "may not exceed 20000 bytes" in log
    assert "stays as it is" in log
    assert "--resume out" in log
    assert not list((tmp_path / "out").glob(".saving-*"))
    forked(tmp_path, "train", "run.yaml", "--resume", "out")
    assert left_by(tmp_path) == left_by(undisturbed("sft"))
