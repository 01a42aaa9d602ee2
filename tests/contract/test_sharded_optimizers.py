"""Every optimizer that says it works on elements, or on plain memory, does on shards of FSDP2 and on flat pieces."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from swift_core.plugins.options import read_source
from swift_core.plugins.registry import installed

DECLARED = {
    spec.name: read_source(spec).declared.get("works_on") for spec in installed().specs("optimizer") if spec.first_party
}


@pytest.mark.parametrize("name", DECLARED)
def test_an_optimizer_of_ours_says_what_it_works_on(name):
    assert DECLARED[name] in ("elements", "memory", "tensors", "matrices")


def test_steps_on_shards_and_on_flat_pieces_are_those_on_whole_parameters():
    names = sorted(name for name, works_on in DECLARED.items() if works_on in ("elements", "memory"))
    assert {"adamw", "lion"} <= set(names)
    script = Path(__file__).with_name("sharded_steps.py")
    done = subprocess.run([sys.executable, script, *names], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f"{len(names)} optimizers") == 2
