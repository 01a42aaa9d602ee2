"""Confine this process as well as asked, or as well as the system can; say how well, and what was in the way."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
import sys
from dataclasses import dataclass, field
from typing import Any

_CAPABILITIES_VERSION = 0x20080522


@dataclass(frozen=True)
class Confinement:
    """What a confined process is left with."""

    level: str = "L3"
    """The best level to try."""

    readable: list[str] = field(default_factory=list)
    """Files and folders it may read."""

    writable: list[str] = field(default_factory=list)
    """Files and folders it may write; regular files stay empty, see `file_bytes`."""

    memory: int = 2 * 2**30
    """Bytes of address space."""

    cpu_seconds: int = 0
    """Seconds of processor time; 0 leaves it to the deadline of the host."""

    file_bytes: int = 0
    """Longest file it may write; pipes are not files."""

    open_files: int = 256


@dataclass
class Outcome:
    """What came of it."""

    level: str
    reasons: dict[str, str]
    """For each level that was tried and not reached, why."""

    landlock: int = 0
    """Version of Landlock's interface; 0 without."""


def confine(wanted: Confinement, host: int) -> Outcome:
    """Confine this process; `host` is the process that started it, without which it shall not live on.

    At L3 this returns in a new process.
    """
    outcome = Outcome("L1", {})
    if wanted.level == "L0":
        return Outcome("L0", {})
    linux = sys.platform == "linux"
    if not linux and wanted.level != "L1":
        outcome.reasons["L2"] = f"Landlock and seccomp are of Linux, and this is {platform.system()}"
    if linux:
        _die_with(host)
        if wanted.level == "L3":
            _leave(outcome)
    _limit(wanted)
    if linux and wanted.level != "L1":
        _restrict(wanted, outcome)
    if outcome.level == "L2" and wanted.level == "L3" and "L3" not in outcome.reasons:
        outcome.level = "L3"
    return outcome


def _die_with(host: int) -> None:
    """Let the kernel end this process when the host ends, however it ends."""
    from swift_core.sandbox.child.libc import PR_SET_PDEATHSIG, prctl

    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != host:
        os._exit(1)


def _leave(outcome: Outcome) -> None:
    from swift_core.sandbox.child import namespaces

    try:
        namespaces.leave()
    except OSError as error:
        outcome.reasons["L3"] = f"namespaces of its own are not allowed here: {error.strerror}"


def _limit(wanted: Confinement) -> None:
    """Set limits of memory, time and files, none of which can be raised again."""
    import resource

    limits = {
        "RLIMIT_AS": wanted.memory,
        "RLIMIT_FSIZE": wanted.file_bytes,
        "RLIMIT_NOFILE": wanted.open_files,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
    }
    if wanted.cpu_seconds:
        limits["RLIMIT_CPU"] = wanted.cpu_seconds
    for name, value in limits.items():
        number = getattr(resource, name, None)
        if number is None:
            continue
        hardest = resource.getrlimit(number)[1]
        value = value if hardest == resource.RLIM_INFINITY else min(value, hardest)
        try:
            resource.setrlimit(number, (value, value))
        except (OSError, ValueError):
            if sys.platform == "linux":
                raise  # macOS has limits that it does not let anybody set
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write that is too long fails, and does not end the process


def _restrict(wanted: Confinement, outcome: Outcome) -> None:
    """Go to L2, or keep why not."""
    from swift_core.sandbox.child import landlock, seccomp
    from swift_core.sandbox.child.libc import PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, prctl

    prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1))
    prctl(PR_SET_DUMPABLE, ctypes.c_ulong(0))
    own = os.path.realpath("/proc/self")
    try:
        outcome.landlock = landlock.restrict([*wanted.readable, own], wanted.writable)
    except OSError as error:
        outcome.reasons["L2"] = f"no Landlock in this kernel: {error.strerror}"
    _drop_capabilities()
    try:
        seccomp.restrict()
    except OSError as error:
        outcome.reasons["L2"] = f"no seccomp filter: {error.strerror}"
    if "L2" not in outcome.reasons:
        outcome.level = "L2"


def _drop_capabilities() -> None:
    """Give up what root may do beyond its files."""
    from swift_core.sandbox.child.libc import system_call
    from swift_core.sandbox.child.syscalls import NUMBERS

    numbers = NUMBERS.get(platform.machine())
    if numbers is None:
        return
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITIES_VERSION, 0))
    system_call(numbers["capset"], header, ctypes.create_string_buffer(struct.pack("=6I", *[0] * 6)))


def confinement_from(settings: dict[str, Any]) -> Confinement:
    """Return the confinement that the host wrote as JSON."""
    return Confinement(**settings)
