"""Runs that something happens to: killed, stopped, starved, damaged, poisoned; and what they must leave all the same.

`TRIALS` are functions (forks, undisturbed, folder, stage, seed) that hurt one run and take it up again. Each returns
how often the fault struck, which is 0 where the run was faster, and raises AssertionError where the end is not that of
the undisturbed run, bit for bit. The tests make few of them, `benchmarks/faults.py` hundreds.
"""

import json
import multiprocessing
import os
import random
import resource
import runpy
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
from safetensors.numpy import load_file
from tests.runs.ranks import PRELOADED, free_port

from swift_core.artifacts.checkpoint import newest_first, standing

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "DATA"}
train:
  stage: STAGE
  loss_type: ./sick.py:LOSS
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
LOSSES = {"sft": "cross_entropy", "dpo": "dpo", "kto": "kto", "grpo": "grpo"}
DRAWS = "reward: {orms: [math]}\nrollout: {num_generations: 2, num_iterations: 2}\n"
UNPAIRED = "".join(
    json.dumps({"prompt": f"{a}+2?", "completion": str(a + 2 + (a % 3 == 0)), "label": a % 3 > 0}) + "\n"
    for a in range(1, 30)
)
SICK = '''\
"""Losses that turn sick: in the call that SWIFT_SICK_AT counts, the number it names comes out."""
import os
from dataclasses import dataclass, replace

from swift_loss_zoo.pair.dpo import DPO
from swift_core.builtins.cross_entropy import CrossEntropy

CALLS = [0]


def sick(result):
    CALLS[0] += 1
    at, _, value = os.environ.get("SWIFT_SICK_AT", "0:nan").partition(":")
    return replace(result, losses=result.losses * float(value)) if CALLS[0] == int(at) else result


@dataclass(frozen=True, kw_only=True)
class SickDpo(DPO):
    def __call__(self, pairs):
        return sick(super().__call__(pairs))


@dataclass(frozen=True, kw_only=True)
class SickCrossEntropy(CrossEntropy):
    def __call__(self, tokens):
        return sick(super().__call__(tokens))
'''
STEPS = 8
PATIENCE = 300
"""Seconds after which a run hangs."""


def run_file(stage="sft", sick=False, save_steps=1):
    text = RUN.replace("DATA", STAGES[stage]).replace("STAGE", stage)
    sick_loss = {"sft": "./sick.py:SickCrossEntropy", "dpo": "./sick.py:SickDpo"}
    text = text.replace("./sick.py:LOSS", sick_loss[stage] if sick else LOSSES[stage])
    text = text.replace("save_steps: 1", f"save_steps: {save_steps}")
    return text.replace("  save_steps", "  max_completion_length: 6\n  save_steps") + DRAWS if stage == "grpo" else text


def write_run(folder, stage="sft", **options):
    folder.mkdir(exist_ok=True)
    (folder / "run.yaml").write_text(run_file(stage, **options))
    (folder / "rows.jsonl").write_text(UNPAIRED)
    (folder / "sick.py").write_text(SICK)
    return folder


class Forks:
    """Starts `swift` in processes forked from one that has imported what takes seconds."""

    def __init__(self):
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)

    def start(self, folder, *arguments, log="log.txt", **environment):
        values = {
            "FOLDER": str(folder),
            "LOG": str(folder / log),
            "ARGUMENTS": list(map(str, arguments)),
            "ENVIRONMENT": environment,
        }
        script = Path(__file__).with_name("forked.py")
        process = self.context.Process(target=runpy.run_path, args=(str(script), values, "__main__"))
        process.start()
        return process

    def __call__(self, folder, *arguments, code=0, **environment):
        process = self.start(folder, *arguments, **environment)
        ended(process)
        log = (folder / "log.txt").read_text()
        assert process.exitcode == code, f"exit {process.exitcode}\n{log}"
        return log

    def start_two(self, folder, *arguments):
        """Start two ranks of one run."""
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", **address}
        ddp = ("device.parallel_method=ddp", "device.num_processes=2", "train.gradient_accumulation_steps=1")
        return [
            self.start(folder, *arguments, *ddp, log=f"log{rank}.txt", RANK=str(rank), LOCAL_RANK=str(rank), **shared)
            for rank in (0, 1)
        ]

    def both(self, folder, *arguments):
        for process in self.start_two(folder, *arguments):
            ended(process)
            assert process.exitcode == 0, "".join(path.read_text() for path in sorted(folder.glob("log?.txt")))


def ended(process):
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
        raise AssertionError("the run hangs")


class Undisturbed:
    """Runs that nothing happened to, one of each stage, all their checkpoints kept."""

    def __init__(self, forks, folder):
        self.forks, self.folder, self.made = forks, folder, {}

    def __call__(self, stage, kind=""):
        if (stage, kind) not in self.made:
            folder = write_run(self.folder / f"{stage}{kind}", stage, sick=kind == "sick")
            start = self.forks.both if kind == "ddp" else self.forks
            start(folder, "train", "run.yaml", "train.save_total_limit=99", "--allow-code")
            self.made[stage, kind] = folder
        return self.made[stage, kind]


def left_by(folder):
    """Return what a run left: its weights, and what it logged of its steps but times and speeds."""
    weights = load_file(folder / "out" / "adapter" / "adapter_model.safetensors")
    lines = [json.loads(line) for line in (folder / "out" / "metrics.jsonl").read_text().splitlines()]
    timed = ("time", "train_runtime", "seconds")
    figures = [
        {
            key: value
            for key, value in line.items()
            if key not in timed and not key.endswith(("_seconds", "_per_second"))
        }
        for line in lines
        if "loss" in line or "train_loss" in line
    ]
    return {name: value.tobytes() for name, value in weights.items()}, figures


def logged_steps(folder):
    path = folder / "out" / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(process, is_there):
    """Wait until `is_there()`; say whether the process still lived then."""
    end = time.monotonic() + PATIENCE
    while not is_there():
        if not process.is_alive():
            return False
        assert time.monotonic() < end, "the run hangs"
        time.sleep(0.0005)
    return True


def finish(forks, undisturbed, folder, stage, kind=""):
    """Take the run up again; it must end as the one that nothing happened to, and tidy up."""
    (forks.both if kind == "ddp" else forks)(folder, "train", "run.yaml", "--resume", "auto", "--allow-code")
    assert left_by(folder) == left_by(undisturbed(stage, kind))
    assert not [path.name for path in (folder / "out").iterdir() if path.name.startswith(".")]
    shutil.rmtree(folder)


def kill_in_saves(forks, undisturbed, folder, stage, seed):
    """SIGKILL one to three times inside saves."""
    draw, struck = random.Random(seed), 0
    write_run(folder, stage)
    step = 0
    for _ in range(draw.randint(1, 3)):
        if step >= STEPS - 1:
            break
        process, step = forks.start(folder, "train", "run.yaml", "--resume", "auto"), draw.randint(step + 1, STEPS - 1)
        staging = folder / "out" / f".saving-{step}"
        if not wait_for(process, staging.exists):
            break
        time.sleep(draw.uniform(0, 0.02))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        struck += staging.exists()
    finish(forks, undisturbed, folder, stage)
    return struck


def kill_any_time(forks, undisturbed, folder, stage, seed):
    """SIGKILL once, at any time from the start of the process on."""
    draw = random.Random(seed)
    write_run(folder, stage)
    process, after = forks.start(folder, "train", "run.yaml"), draw.randint(0, STEPS - 1)
    alive = wait_for(process, lambda: logged_steps(folder) >= after)
    time.sleep(draw.uniform(0, 0.4))
    struck = alive and process.is_alive()
    os.kill(process.pid, signal.SIGKILL) if struck else None
    process.join()
    finish(forks, undisturbed, folder, stage)
    return int(struck)


def terminate(forks, undisturbed, folder, stage, seed, number=signal.SIGTERM):
    """SIGTERM at any moment of a step: a checkpoint of that step, code 143, and no model."""
    draw = random.Random(seed)
    write_run(folder, stage, save_steps=500)
    process, after = forks.start(folder, "train", "run.yaml"), draw.randint(1, STEPS - 2)
    alive = wait_for(process, lambda: logged_steps(folder) >= after)
    time.sleep(draw.uniform(0, 0.1))
    os.kill(process.pid, number)
    ended(process)
    struck = alive and process.exitcode == 128 + number
    assert struck or process.exitcode in (0, -number), (folder / "log.txt").read_text()
    if struck:
        assert not (folder / "out" / "adapter").exists()
        assert len(list((folder / "out").glob("checkpoint-*"))) == 1
    finish(forks, undisturbed, folder, stage)
    return int(struck)


def terminate_ddp(forks, undisturbed, folder, stage, seed):
    """SIGTERM to one of two ranks, which one is drawn: both save the same step and end."""
    draw = random.Random(seed)
    write_run(folder, stage, save_steps=500)
    ranks, after = forks.start_two(folder, "train", "run.yaml"), draw.randint(1, STEPS - 2)
    alive = wait_for(ranks[0], lambda: logged_steps(folder) >= after)
    time.sleep(draw.uniform(0, 0.1))
    os.kill(ranks[draw.randint(0, 1)].pid, signal.SIGTERM)
    for process in ranks:
        ended(process)
    struck = alive and [process.exitcode for process in ranks] == [143, 143]
    assert struck or [process.exitcode for process in ranks] == [0, 0], [process.exitcode for process in ranks]
    if struck:
        assert not (folder / "out" / "adapter").exists()
    finish(forks, undisturbed, folder, stage, "ddp")
    return int(struck)


def crash_of_a_worker(forks, undisturbed, folder, stage, seed):
    """SIGKILL to one of two ranks: the other ends, too, and both go on from the last checkpoint."""
    draw = random.Random(seed)
    write_run(folder, stage)
    ranks, after = forks.start_two(folder, "train", "run.yaml"), draw.randint(1, STEPS - 2)
    alive = wait_for(ranks[0], lambda: logged_steps(folder) >= after)
    time.sleep(draw.uniform(0, 0.3))
    victim = draw.randint(0, 1)
    struck = alive and all(process.is_alive() for process in ranks)
    os.kill(ranks[victim].pid, signal.SIGKILL) if struck else None
    for process in ranks:
        ended(process)
    assert not struck or ranks[1 - victim].exitcode != 0
    finish(forks, undisturbed, folder, stage, "ddp")
    return int(struck)


def crash_of_a_data_worker(forks, undisturbed, folder, stage, seed):
    """SIGKILL to a process that makes batches: it is named, without a traceback, and the run can go on."""
    draw, workers = random.Random(seed), "train.dataloader_num_workers=1"
    write_run(folder, stage)
    process, after = forks.start(folder, "train", "run.yaml", workers), draw.randint(1, STEPS - 3)
    alive = wait_for(process, lambda: logged_steps(folder) >= after)
    children = psutil.Process(process.pid).children() if alive else []
    for child in children[:1]:
        child.kill()
    ended(process)
    log = (folder / "log.txt").read_text()
    struck = process.exitcode != 0
    assert not struck or "error[worker-died]" in log, log
    assert "Traceback" not in log, log
    forks(folder, "train", "run.yaml", workers, "--resume", "auto")
    assert left_by(folder) == left_by(undisturbed(stage))
    shutil.rmtree(folder)
    return int(struck)


def damage(forks, undisturbed, folder, stage, seed):
    """A flipped bit, a cut, an emptied, grown or missing file in the newest checkpoint: named, an older one is taken.

    One in twenty trains on and is compared; the others end with what would be taken.
    """
    draw = random.Random(seed)
    shutil.copytree(undisturbed(stage), folder)
    newest = newest_first(folder / "out")[0]
    file = draw.choice(sorted(path for path in newest.rglob("*") if path.is_file()))
    content = bytearray(file.read_bytes())
    kind = draw.choice(["flip", "flip", "cut", "empty", "grow", "delete"])
    if kind == "flip":
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    changed = {"flip": content, "cut": content[: draw.randrange(len(content))], "empty": b"", "grow": content + b"x"}
    file.unlink() if kind == "delete" else file.write_bytes(changed[kind])
    found = standing(newest)
    assert found.manifest is None, f"{kind} of {file.name} went unnoticed"
    assert file.name in found.problem, found.problem
    if seed % 20:
        shutil.rmtree(folder)
        return 1
    for name in ("adapter", "result.json", "report.html"):
        path = folder / "out" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    log = forks(folder, "train", "run.yaml", "train.save_total_limit=99", "--resume", "auto")
    assert file.name in log
    assert left_by(folder) == left_by(undisturbed(stage))
    shutil.rmtree(folder)
    return 1


def starve(forks, undisturbed, folder, stage, seed):
    """No room: a limit on file sizes, or as root a full disk. The last checkpoint stays and the message has bytes."""
    draw = random.Random(seed)
    write_run(folder, stage)
    place, on_disk = folder / "out", bool(seed % 2) and os.geteuid() == 0
    if on_disk:
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={draw.randint(300, 1500)}k", "tmpfs", place], check=True)
    try:
        process = forks.start(folder, "train", "run.yaml", "--resume", "auto")
        if not on_disk:
            step = draw.randint(1, STEPS - 2)
            assert wait_for(process, (place / f"checkpoint-{step}").exists)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (draw.randint(500, 20_000),) * 2)
        ended(process)
        log = (folder / "log.txt").read_text()
        if process.exitcode == 0:
            struck = 0
        else:
            struck = 1
            assert process.exitcode == 2, log
            assert "error[disk-full]" in log, log
            assert "bytes free" in log or "may not exceed" in log, log
            assert not list(place.glob(".saving-*"))
        assert all(standing(path).manifest for path in newest_first(place))
        if on_disk:
            subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)
        forks(folder, "train", "run.yaml", "--resume", "auto")
        assert left_by(folder) == left_by(undisturbed(stage))
    finally:
        if on_disk:
            subprocess.run(["umount", place], check=True)
    shutil.rmtree(folder)
    return struck


def poison(forks, undisturbed, folder, stage, seed):
    """A loss that is no finite number: the step is named, code 3, nothing of it is saved, and the run can go on."""
    draw = random.Random(seed)
    write_run(folder, stage, sick=True)
    step, value = draw.randint(1, STEPS), draw.choice(["nan", "inf", "-inf"])
    call = 2 * step - draw.randint(0, 1)  # two micro-batches a step
    log = forks(folder, "train", "run.yaml", "--allow-code", code=3, SWIFT_SICK_AT=f"{call}:{value}")
    assert f"of step {step} is" in log, log
    assert "micro-batch" in log
    assert "rows" in log
    for path in (folder / "out").rglob("*.safetensors"):
        assert all(abs(weight).max() < float("inf") for weight in load_file(path).values()), path
    assert not (folder / "out" / "adapter").exists()
    finish(forks, undisturbed, folder, stage, "sick")
    return 1


TRIALS = {
    "SIGKILL inside saves": kill_in_saves,
    "SIGKILL at any time": kill_any_time,
    "SIGTERM, one process": terminate,
    "SIGTERM, two processes": terminate_ddp,
    "damaged checkpoint": damage,
    "disk full or file limit": starve,
    "loss not finite": poison,
    "one of two ranks crashes": crash_of_a_worker,
    "a data worker crashes": crash_of_a_data_worker,
}
