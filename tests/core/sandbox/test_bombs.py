"""Attacks on resources end in time, with a status that says why, and without what they asked for."""

import json
import sys
import time

import pytest

from swift_core.sandbox.attacks import BOMBS, PRELUDE
from swift_core.sandbox.escape import arena
from swift_core.sandbox.program import run_python

MEMORY, SECONDS = 512 * 2**20, 1.5
SECONDS_OF = {"memory bit by bit": 10.0, "threads": 10.0}
"""Of bombs that end by themselves, but not at once on a busy machine."""

STATUS = {
    "processes": {"crash"},
    "threads": {"crash", "memory", "ok"},
    "memory at once": {"memory"},
    "memory bit by bit": {"memory"},
    "memory that is mapped": {"memory", "crash"},
    "memory in a file": {"crash"},
    "memory in pipes": {"crash", "ok"},
    "a large file": {"crash"},
    "many files": {"crash"},
    "many open files": {"crash"},
    "much output": {"crash"},
    "much output in errors": {"crash"},
    "a loop": {"timeout"},
    "a loop that nothing interrupts": {"timeout", "memory"},
    "a loop that ignores signals": {"timeout"},
    "sleep": {"timeout"},
    "a deep recursion": {"crash", "memory", "timeout"},
    "a core file": {"crash"},
}


@pytest.fixture(scope="module")
def things():
    with arena() as made:
        yield made


@pytest.mark.timed
@pytest.mark.skipif(sys.platform != "linux", reason="L2 is of Linux")
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_contained(name, things):
    seconds = SECONDS_OF.get(name, SECONDS)
    begun = time.monotonic()
    result = run_python(PRELUDE + BOMBS[name], json.dumps(things), seconds, MEMORY, require="L2")
    assert time.monotonic() - begun < seconds + 1.0
    assert result.status in STATUS[name], result.stderr
    assert "ESCAPED" not in result.stdout
    assert len(result.stdout) <= 2**20 + 2**16
    assert len(result.stderr) <= 2**16


def test_every_bomb_has_its_status():
    assert STATUS.keys() == BOMBS.keys()
