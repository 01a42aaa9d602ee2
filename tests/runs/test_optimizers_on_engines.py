"""Every optimizer on every engine: refused before a model is loaded, or two processes train what one process trains."""

import importlib.util
import sys

import pytest
from tests.runs.ranks import Ranks, largest_difference, losses, weights

from swift_core.config.load import load
from swift_core.errors import SwiftError
from swift_core.plugins.registry import installed
from swift_core.resolve.machine import Machine
from swift_core.resolve.plan import resolve

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are forked as on Linux"),
]

OPTIMIZERS = sorted(spec.name for spec in installed().specs("optimizer") if spec.first_party)
METHODS = ("ddp", "fsdp2", "zero2", "zero3", "tp")
REFUSALS = {"optimizer-engine", "one-process-only", "engine-conflict"}
LR = 1e-3
CLOSE = {"ddp": 0.0, "fsdp2": 0.0, "zero2": 0.0, "zero3": 1e-6, "tp": 1e-5}
"""How far weights of 0.1 or so may be from those of one process, after three steps in float32."""

RUN = f"""\
model: {{model_id: "demo:tiny"}}
data: {{dataset: "demo:chat", shuffle: false}}
train:
  tuner_strategy: full
  optimizer_type: OPTIMIZER
  learning_rate: {LR}
  max_steps: 3
  per_device_train_batch_size: 2
  logging_steps: 1
  max_grad_norm: 0
  save_strategy: "no"
output_dir: out
"""


@pytest.fixture(scope="module")
def ranks(demo_folder):
    return Ranks()


@pytest.fixture(scope="module")
def trained(ranks, tmp_path_factory):
    """Return a function (optimizer, method) -> the directory of its run; what one process trained is kept."""
    kept = {}

    def train(optimizer, *overrides, number=1):
        key = (optimizer, *overrides)
        if key not in kept:
            place = tmp_path_factory.mktemp(optimizer)
            write(place, optimizer)
            ranks(place, number, "train", "run.yaml", *overrides, OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")
            kept[key] = place / "out"
        return kept[key]

    return train


def write(folder, optimizer):
    (folder / "run.yaml").write_text(RUN.replace("OPTIMIZER", optimizer))


def asked(method):
    return (f"device.parallel_method={method}", "device.num_processes=2")


def refusals(folder, method):
    """Return the codes of what is wrong with the pair, before anything is loaded."""
    machine = Machine(num_gpus=0, world_size=2, local_world_size=2, packages=frozenset({"deepspeed"}))
    try:
        resolve(load(folder / "run.yaml", asked(method)), installed(), machine=machine)
    except SwiftError as error:
        return {problem.code for problem in error.problems}
    return set()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("method", METHODS)
def test_a_pair_is_refused_or_trains_what_one_process_trains(trained, tmp_path, method, optimizer):
    write(tmp_path, optimizer)
    if codes := refusals(tmp_path, method):
        assert codes <= REFUSALS
        return
    if method.startswith("zero") and importlib.util.find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed: nox -s engines")

    alone = trained(optimizer, *(() if method == "tp" else ("train.gradient_accumulation_steps=2",)))
    together = trained(optimizer, *asked(method), number=2)

    assert losses(together) == pytest.approx(losses(alone), abs=1e-5)
    assert largest_difference(weights(alone), weights(together)) <= CLOSE[method]
