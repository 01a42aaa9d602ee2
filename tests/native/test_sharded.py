"""Parameters that are cut up among ranks: each rank steps its part, and the whole is as if one process had done it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

NAMES = ["adamw", "adamw, amsgrad", "adamw, bf16 moments", "lion", "sgd"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Return what two ranks have found, and one process beside them."""
    folder = tmp_path_factory.mktemp("ranks")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", Path(__file__).with_name("sharded_ranks.py"), folder],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in ("whole", "sharded")}


def assert_same(some, others):
    assert all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_weights_under_fsdp2_are_those_of_one_process_bit_for_bit(found, name):
    assert_same(found["sharded"][name]["fsdp"], found["whole"][name][0])


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_was_saved_under_fsdp2_goes_on_bit_for_bit(found, name):
    assert_same(found["sharded"][name]["resumed"], found["whole"][name][0])


@pytest.mark.parametrize("name", NAMES)
def test_the_gathered_state_is_that_of_one_process(found, name):
    gathered, whole = found["sharded"][name]["state"], found["whole"][name][1]
    for one, other in zip(gathered.values(), whole.values(), strict=True):
        assert one.keys() == other.keys()
        assert_same(one.values(), other.values())


def test_a_plan_serves_until_a_part_moves(found):
    assert found["sharded"]["plans"] == {"kept": True, "made anew": True}


@pytest.mark.parametrize("way", ["zero", "flat"])
@pytest.mark.parametrize("name", [name for name in NAMES if "bf16" not in name])
def test_weights_under_zero_are_those_of_one_process(found, name, way):
    for one, other in zip(found["sharded"][name][way], found["whole"][name][0], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_what_needs_more_than_a_part_is_refused_with_the_reason(found):
    refused = found["sharded"]["refused"]
    assert refused["adafactor"].startswith(
        "the native Adafactor cannot train parameter 0 of group 0: it is a DTensor cut up by FSDP or tensor "
        "parallelism, and each rank would find the means of rows and columns, and the size of the weights, of its own "
        "part, which are not those of the matrix; replicate the parameters (DDP), or take native_adamw"
    )
    assert refused["8bit"].startswith("moments of parameter 0 of group 0 cannot have 8 bits: it is cut up among ranks")
    assert refused["clipping"].startswith("max_grad_norm of the optimizer must be 0, got 1.0: parameters are cut up")
    assert refused["offload"].startswith("offload cannot train parameter 0 of group 0: it is a DTensor, and FSDP moves")
