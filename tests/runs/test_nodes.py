"""Two machines, as two network namespaces with a cable between them: one process each, launchers that meet over it.

Needs root and iproute2; `nox -s nodes` runs it.
"""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from tests.runs.ranks import largest_difference, losses, weights


def why_not():
    """Return why this machine cannot make network namespaces; empty when it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "making network namespaces takes root on Linux"
    if shutil.which("ip") is None:
        return "the command ip (iproute2) is not installed"
    name = f"swift-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode == 0:
        subprocess.run(["ip", "netns", "delete", name], check=True)
    return made.stderr.strip()


REASON = why_not()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(REASON), reason=REASON)]

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:chat", val_dataset: "demo:chat-heldout", shuffle: true}
device: {nodes: 2, num_processes: 2, parallel_method: ddp}
train:
  tuner_strategy: full
  optimizer_type: adamw
  max_steps: 24
  per_device_train_batch_size: 4
  logging_steps: 1
  max_grad_norm: 0
  save_steps: 4
  callbacks: ["./pace.py:Pace"]
output_dir: out
"""
PACE = '''\
"""Takes its time, and more of it where one process trains alone, so that another can come back."""

import os
import time

from transformers import TrainerCallback


class Pace(TrainerCallback):
    """Waits after each step."""

    def on_step_end(self, args, state, control, **kwargs):
        time.sleep(10.0 if os.environ.get("WORLD_SIZE") == "1" else 0.1)
'''
CONF = "keep_alive_interval=5,keep_alive_max_attempt=6,last_call_timeout=10"


class Machines:
    """Two namespaces, one end of a cable in each."""

    def __init__(self, folder):
        self.folder = folder
        self.names = [f"swift-{letter}-{os.getpid()}" for letter in "ab"]
        self.addresses = ["10.213.77.1", "10.213.77.2"]
        self.started = []
        self.ends = ends = [f"sw{letter}{os.getpid()}"[:15] for letter in "ab"]
        ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for name, end, address in zip(self.names, ends, self.addresses, strict=True):
            ip("netns", "add", name)
            ip("link", "set", end, "netns", name)
            ip("-n", name, "address", "add", f"{address}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            ip("-n", name, "link", "set", "lo", "up")

    def start(self, place, output, *more):
        """Start a launcher on one of the machines; what it prints goes into a log."""
        log = (self.folder / f"log-{place}-{len(self.started)}.txt").open("w")
        command = [
            "ip",
            "netns",
            "exec",
            self.names[place],
            sys.executable,
            "-u",
            "-m",
            "swift_core",
            "train",
            "run.yaml",
        ]
        meeting = ["--rdzv-endpoint", f"{self.addresses[0]}:29533", "--local-addr", self.addresses[place]]
        process = subprocess.Popen(
            [*command, f"output_dir={output}", "--allow-code", "--nproc", "1", *meeting, "--rdzv-conf", CONF, *more],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        log.close()
        self.started.append(process)
        return process

    def lose(self, place):
        """End everything that runs on a machine, at once and without a word."""
        pids = subprocess.run(["ip", "netns", "pids", self.names[place]], check=True, capture_output=True, text=True)
        for pid in pids.stdout.split():
            os.kill(int(pid), signal.SIGKILL)

    def unplug(self, place):
        """Take the cable out of a machine, on which everything runs on."""
        ip("-n", self.names[place], "link", "set", self.ends[place], "down")

    def plug_in(self, place):
        """Put the cable back."""
        ip("-n", self.names[place], "link", "set", self.ends[place], "up")

    def logs(self):
        return "".join(f"-- {path.name}\n{path.read_text()}" for path in sorted(self.folder.glob("log-*.txt")))

    def ended(self, *processes):
        """Wait until launchers have ended; each must have ended well."""
        for process in processes:
            assert process.wait(600) == 0, self.logs()

    def close(self):
        for place, name in enumerate(self.names):
            self.lose(place)
            ip("netns", "delete", name)
        for process in self.started:
            process.wait(30)


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, demo_folder):
    place = tmp_path_factory.mktemp("shared")  # both machines see it, as a shared disk
    (place / "run.yaml").write_text(RUN)
    (place / "pace.py").write_text(PACE)
    return place


@pytest.fixture
def machines(folder):
    made = Machines(folder)
    yield made
    made.close()


@pytest.fixture(scope="module")
def alone(folder):
    """One process with twice the accumulation, never interrupted."""
    one = ("device.nodes=1", "device.num_processes=1", "device.parallel_method=single")
    command = ["train", "run.yaml", "output_dir=alone", *one, "train.gradient_accumulation_steps=2", "--allow-code"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-m", "swift_core", *command], cwd=folder, env=environment, check=True)
    return folder / "alone"


def wait_for(path, machines):
    end = time.monotonic() + 600
    while not path.exists():
        assert time.monotonic() < end, machines.logs()
        assert any(process.poll() is None for process in machines.started), machines.logs()
        time.sleep(0.05)


def test_a_machine_that_is_lost_and_returns_ends_as_if_nothing_had_happened(folder, machines, alone):
    first = machines.start(0, "waits", "--max-restarts", "3")
    machines.start(1, "waits", "--max-restarts", "3")
    wait_for(folder / "waits" / "checkpoint-4", machines)

    machines.lose(1)
    second = machines.start(1, "waits", "--max-restarts", "3")
    machines.ended(first, second)

    log = machines.logs()
    assert "resume: going on from" in log
    assert losses(folder / "waits") == losses(alone)
    assert largest_difference(weights(folder / "waits"), weights(alone)) == 0
    assert "Traceback" not in log


def test_a_cable_that_is_out_for_some_seconds_changes_nothing(folder, machines, alone):
    """Connections outlive it: nobody is told, and what was sent meanwhile is sent again."""
    first = machines.start(0, "unplugged", "--max-restarts", "3")
    second = machines.start(1, "unplugged", "--max-restarts", "3")
    wait_for(folder / "unplugged" / "checkpoint-4", machines)

    machines.unplug(1)
    time.sleep(5)
    steps = len(losses(folder / "unplugged"))
    time.sleep(3)
    assert len(losses(folder / "unplugged")) == steps < 24  # no step is made meanwhile
    machines.plug_in(1)
    machines.ended(first, second)

    assert losses(folder / "unplugged") == losses(alone)
    assert largest_difference(weights(folder / "unplugged"), weights(alone)) == 0
    assert "Traceback" not in machines.logs()


def test_a_run_goes_on_with_the_machines_that_are_there(folder, machines, alone):
    first = machines.start(0, "goes-on", "--nnodes", "1:2", "--max-restarts", "3")
    machines.start(1, "goes-on", "--nnodes", "1:2", "--max-restarts", "3")
    wait_for(folder / "goes-on" / "checkpoint-4", machines)

    machines.lose(1)
    wait_for(folder / "goes-on" / "checkpoint-8", machines)
    second = machines.start(1, "goes-on", "--nnodes", "1:2", "--max-restarts", "3")
    machines.ended(first, second)

    log = machines.logs()
    assert "device.num_processes: 2 -> 1" in log  # alone
    assert "device.num_processes: 1 -> 2" in log  # and together again
    assert losses(folder / "goes-on") == pytest.approx(losses(alone), abs=1e-5)
    assert largest_difference(weights(folder / "goes-on"), weights(alone)) < 1e-5
