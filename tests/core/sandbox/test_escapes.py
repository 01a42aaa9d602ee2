"""The attacks of `swift doctor sandbox`. Each gets out of a plain process, so that being contained means something."""

import os
import platform
import sys
from pathlib import Path

import pytest

from swift_core.sandbox.attacks import ATTACKS
from swift_core.sandbox.child import landlock
from swift_core.sandbox.escape import arena, attacked, escapes
from swift_core.sandbox.levels import reaches
from swift_core.sandbox.probe import probe

NUM_RUNS = int(os.environ.get("SWIFT_ESCAPE_RUNS", "1"))

# What a plain process is refused too, depending on the kernel's settings, the user or the container.
DEPENDS_ON_THE_MACHINE = {
    "become root of a namespace",
    "call the kernel by another table",
    "call the kernel by the x32 table",
    "change its personality",
    "change the root folder",
    "connect to an abstract socket",
    "count events",
    "enter the namespace of another process",
    "have a privilege",
    "keep a key",
    "listen on IPv6",
    "load a program into the kernel",
    "make a packet socket",
    "make a ring for input and output",
    "mount a file system",
    "name the machine",
    "open a file system",
    "open a message queue",
    "raise its own limits",
    "read a file by its handle",
    "read the kernel's log",
    "read the memory of another process",
    "read the memory of the parent",
    "steal a descriptor",
    "take page faults",
    "trace another process",
    "write beside the interpreter's libraries",
}

STOPPED_AT_L1 = {
    "read an inherited descriptor",
    "read a secret in the environment",
    "read a secret in its own first environment",
    "raise its own limits",
    "become a program in memory",
    "open a message queue",
}

linux = pytest.mark.skipif(sys.platform != "linux", reason="L2 is of Linux")


def needs(level):
    if not reaches(probe().level, level):
        pytest.skip(f"{level}: {probe().reasons[level]}")


def test_there_are_enough_attacks():
    assert len(ATTACKS) >= 90


@linux
def test_every_attack_gets_out_of_a_plain_process():
    contained = {name for name, escaped in escapes("L0").items() if not escaped}
    assert contained <= DEPENDS_ON_THE_MACHINE


@linux
def test_a_process_of_its_own_loses_the_environment_the_descriptors_and_its_old_limits():
    for _ in range(NUM_RUNS):
        contained = {name for name, escaped in escapes("L1").items() if not escaped}
        assert contained >= STOPPED_AT_L1
        assert contained <= STOPPED_AT_L1 | DEPENDS_ON_THE_MACHINE


@linux
@pytest.mark.parametrize("level", ["L2", "L3"])
def test_nothing_gets_out_and_nothing_is_changed(level):
    needs(level)
    attacks = ATTACKS if level == "L2" or NUM_RUNS > 1 else dict(list(ATTACKS.items())[::2])
    for _ in range(NUM_RUNS):
        with arena() as things:
            before = contents(things["outside"])
            found = attacked(level, things, attacks)
            assert contents(things["outside"]) == before
            os.kill(things["victim"], 0)
        assert len(found) == len(attacks) > 30
        assert [name for name, escaped in found.items() if escaped] == []


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


@linux
def test_l2_is_reached_where_the_kernel_has_landlock():
    try:
        landlock.version()
    except OSError as error:
        pytest.skip(f"no Landlock: {error}")
    if platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("no table of system calls")
    assert reaches(probe().level, "L2"), probe().reasons
