"""A stranger's optimizer in C++: its wheel is built against the installed swift-native, and it trains by name."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "native_kernel"

if sys.platform == "win32" or not (shutil.which("c++") and shutil.which("cmake") and shutil.which("ninja")):
    pytest.skip("no compiler, cmake and ninja to build a wheel with", allow_module_level=True)
pytest.importorskip("scikit_build_core")
pytest.importorskip("pybind11")

AGAINST_TORCH = """
import torch
from acme_swift_signum import Signum, _native

torch.manual_seed(0)
ours = [torch.randn(300_001, requires_grad=True), torch.randn(33, 7, requires_grad=True)]
theirs = [param.detach().clone().requires_grad_() for param in ours]
for isa in ("baseline", "v3", "v4"):
    _native.select_isa(isa)
    optimizers = Signum(ours, lr=0.01, beta=0.0, weight_decay=0.1), torch.optim.SGD(theirs, lr=0.01)
    for mine, other in zip(ours, theirs):
        mine.grad = torch.randn_like(mine)
        other.grad = mine.grad.sign() + 0.1 * other.detach()  # without momentum Signum is SGD along the signs
    for optimizer in optimizers:
        optimizer.step()
print(max((mine - other).abs().max().item() for mine, other in zip(ours, theirs)))
"""


@pytest.fixture(scope="module")
def stranger(build_wheel, fresh_environment, tmp_path_factory):
    source = tmp_path_factory.mktemp("source") / "kernel"
    shutil.copytree(EXAMPLE, source)
    environment = fresh_environment(build_wheel(source))
    shutil.copy(EXAMPLE / "run.yaml", environment.folder)
    return environment


def test_its_cpp_has_less_than_sixty_lines():
    assert sum(len(path.read_text().splitlines()) for path in (EXAMPLE / "cpp").iterdir()) < 60


def test_its_steps_are_those_of_torch_along_the_signs(stranger):
    command = [stranger.python, "-c", AGAINST_TORCH]
    printed = subprocess.run(command, cwd=stranger.folder, capture_output=True, text=True, check=True).stdout
    assert float(printed) < 2e-6


def test_the_plan_counts_its_states(stranger):
    (line,) = (line for line in stranger("plan", "run.yaml").splitlines() if line.startswith("memory"))
    weights, states = (re.search(rf"{name} ([\d.]+ MB)", line)[1] for name in ("weights", "optimizer"))
    assert states == weights


def test_it_trains_by_name(stranger):
    output = stranger("train", "run.yaml", "train.max_steps=2", "train.logging_steps=1", "output_dir=out")
    assert "step 2/2" in output
    plan = json.loads((stranger.folder / "out" / "plan.json").read_text())
    assert [part["wheel"] for part in plan["parts"] if part["name"] == "signum"] == ["acme-swift-signum"]
