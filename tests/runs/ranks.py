"""Starts the ranks of a run as torchrun does, in processes forked from one that has imported what takes seconds."""

import json
import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

from safetensors.numpy import load_file

PRELOADED = [
    "torch",
    "torch.distributed.tensor",
    "torch.distributed.fsdp",
    "datasets",
    "peft",
    "transformers.trainer",
    "transformers.models.llama.modeling_llama",
    "swift_core.run",
    "swift_core.artifacts.metrics",
    "swift_core.artifacts.progress",
    "swift_core.train.supervised",
    "swift_core.train.engine.readback",
]


class Ranks:
    """The `swift` command in one process, or in several that train together."""

    def __init__(self):
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)

    def start(self, folder, number, *arguments, **environment):
        """Start the processes and return them; each writes into `log-RANK.txt`."""
        world = {
            "WORLD_SIZE": number,
            "LOCAL_WORLD_SIZE": number,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": free_port(),
        }
        processes = []
        for rank in range(number):
            own = {**world, "RANK": rank, "LOCAL_RANK": rank} if number > 1 else {}
            values = {
                "FOLDER": str(folder),
                "LOG": str(folder / f"log-{rank}.txt"),
                "ARGUMENTS": list(map(str, arguments)),
                "ENVIRONMENT": {name: str(value) for name, value in {**own, **environment}.items()},
            }
            script = str(Path(__file__).with_name("forked.py"))
            processes.append(self.context.Process(target=runpy.run_path, args=(script, values, "__main__")))
            processes[-1].start()
        return processes

    def __call__(self, folder, number, *arguments, code=0, **environment):
        """Run the processes to their end; every exit code must be `code`. Return what they printed."""
        processes = self.start(folder, number, *arguments, **environment)
        for process in processes:
            process.join(600)
        for process in processes:
            if process.is_alive():
                process.kill()
        log = "".join(f"-- rank {rank}\n{(folder / f'log-{rank}.txt').read_text()}" for rank in range(number))
        assert [process.exitcode for process in processes] == [code] * number, log
        return log


def free_port():
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def torchrun(folder, *arguments):
    """Run `swift ARGUMENTS` in two processes of torchrun itself; return the exit code and what they printed."""
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "swift_core", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def losses(folder):
    """Return the loss of every logged step of a run, by step."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def weights(folder):
    """Return what a run trained, by name."""
    (path,) = [*folder.glob("model/model.safetensors"), *folder.glob("adapter/adapter_model.safetensors")]
    return load_file(path)


def largest_difference(one, other):
    """Return the largest difference of two runs' weights."""
    assert one.keys() == other.keys()
    return max(float(abs(one[name] - other[name]).max()) for name in one)
