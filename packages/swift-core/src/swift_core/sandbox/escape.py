"""Run the attacks at a level and say which get out. This is a proof about one machine, made on that machine."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from swift_core.sandbox.attacks import ATTACKS, PRELUDE
from swift_core.sandbox.levels import Level
from swift_core.sandbox.program import ProgramResult, run_python

_SECONDS = 10.0
_SECRET = "SWIFT_SECRET"


@contextlib.contextmanager
def arena() -> Iterator[dict[str, Any]]:
    """Make what there is to attack: a secret, a folder, sockets, a process of the same user and an open file."""
    mark = f"swift-{secrets.token_hex(8)}"
    with contextlib.ExitStack() as stack:
        outside = Path(tempfile.mkdtemp(prefix="swift-arena-"))
        stack.callback(shutil.rmtree, outside, ignore_errors=True)
        for name in ("secret", "plain", "removable"):
            (outside / name).write_text(mark if name == "secret" else "plain", encoding="ascii")
        stack.enter_context(_environment(_SECRET, mark))
        victim = _victim(stack)
        secret = os.open(outside / "secret", os.O_RDONLY)
        stack.callback(os.close, secret)
        os.set_inheritable(secret, True)
        yield {
            "mark": mark,
            "secret": str(outside / "secret"),
            "readable": str(_readable_copy(outside)),
            "outside": str(outside),
            "host": os.getpid(),
            "victim": victim.pid,
            "group": os.getpgid(victim.pid),
            **_sockets(stack, outside, mark),
        }


def attack(code: str, things: Mapping[str, Any], level: Level) -> ProgramResult:
    """Run one attack at `level`; at L0 in a plain subprocess, with the environment and the open files of this one."""
    told = json.dumps(things)
    if level != "L0":
        return run_python(PRELUDE + code, told, timeout=_SECONDS, level=level, require=level)
    command = [sys.executable, "-c", PRELUDE + code]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command, input=told, capture_output=True, text=True, timeout=_SECONDS, close_fds=False, cwd=folder
        )
    return ProgramResult("ok" if done.returncode == 0 else "crash", done.stdout, done.stderr, done.returncode, 0.0)


def escapes(level: Level, attacks: Mapping[str, str] = ATTACKS) -> dict[str, bool]:
    """Return, for each attack, whether it gets out at `level`.

    Raises:
        SandboxUnavailableError: The level is not reached here.
    """
    with arena() as things:
        return attacked(level, things, attacks)


def attacked(level: Level, things: Mapping[str, Any], attacks: Mapping[str, str] = ATTACKS) -> dict[str, bool]:
    """Return, for each attack on `things`, whether it gets out at `level`."""
    found = {}
    for name, code in attacks.items():
        (Path(things["outside"]) / "removable").touch()
        found[name] = "ESCAPED" in attack(code, things, level).stdout
    return found


def _readable_copy(folder: Path) -> Path:
    """Return a copy of a library, for attacks that would destroy it."""
    copy = folder / "library.py"
    copy.write_text("x = 1\n", encoding="ascii")
    return copy


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _victim(stack: contextlib.ExitStack) -> subprocess.Popen[bytes]:
    """Start a process that does nothing, with the secret in its environment."""
    victim = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", "import time; time.sleep(3600)"], start_new_session=True
    )
    stack.callback(victim.wait)
    stack.callback(victim.kill)
    return victim


def _sockets(stack: contextlib.ExitStack, folder: Path, mark: str) -> dict[str, Any]:
    """Open sockets of every kind that a process on this machine may be reached by."""
    stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
    kinds: dict[str, tuple[int, int, Any]] = {
        "tcp": (socket.AF_INET, stream, ("127.0.0.1", 0)),
        "udp": (socket.AF_INET, datagram, ("127.0.0.1", 0)),
        "unix": (socket.AF_UNIX, stream, str(folder / "stream")),
        "unix_datagram": (socket.AF_UNIX, datagram, str(folder / "datagram")),
    }
    if sys.platform == "linux":
        kinds["abstract"] = (socket.AF_UNIX, stream, f"\0{mark}")
    found: dict[str, Any] = {"abstract": mark}
    for name, (family, kind, address) in kinds.items():
        server = stack.enter_context(socket.socket(family, kind))
        server.bind(address)
        if kind == stream:
            server.listen(64)
        where = server.getsockname()
        found[name] = where[1] if family == socket.AF_INET else mark if name == "abstract" else where
    return found
