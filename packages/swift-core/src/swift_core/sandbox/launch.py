"""Start a confined process: which files it may see, its environment, and a thread that outlives every caller's.

The kernel kills a confined process when the *thread* that started it ends. So one thread of this process starts all.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import site
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from swift_core.errors import Problem, SwiftError
from swift_core.sandbox.child.confine import Confinement

SOURCE = str(Path(__file__).resolve().parents[2])
"""The folder that holds `swift_core`."""

_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")
_MACHINE = ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system/cpu", "/sys/devices/system/node")
_DEVICES = ("/dev/zero", "/dev/random", "/dev/urandom")
_WRITABLE = ("/dev/null",)
_LIBRARIES_WITH_THREADS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "RAYON")
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in _LIBRARIES_WITH_THREADS}
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MALLOC_ARENA_MAX": "1",
    **_ONE_THREAD,
}
_MODULES = {"worker": "worker.main()", "program": "program.main(int(sys.argv[2]))"}
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from swift_core.sandbox.child import {name}; {call}"


def child_command(kind: Literal["worker", "program"], *arguments: str) -> list[str]:
    """Return the command line of a confined process: no site-packages yet, so nothing of a stranger runs."""
    program = _PROGRAM.format(name=kind, call=_MODULES[kind])
    return [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", program, SOURCE, *arguments]


def environment() -> dict[str, str]:
    """Return the environment of a confined process: nothing of the host's but where shared libraries lie."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {**_ENVIRONMENT, "HOME": nowhere(), "TMPDIR": nowhere(), **kept}


@functools.lru_cache(maxsize=1)
def nowhere() -> str:
    """Return an empty folder, the working directory of confined processes."""
    folder, owner = tempfile.mkdtemp(prefix="swift-sandbox-"), os.getpid()
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    return folder


def confinement(
    level: str, *, memory: int, packages: bool, readable: tuple[str, ...] = (), cpu_seconds: int = 0
) -> dict[str, Any]:
    """Return what a confined process is left with, as JSON says it.

    Args:
        level: The best level to try.
        memory: Bytes of address space.
        packages: Whether it may read what is installed, or the standard library alone.
        readable: More files and folders that it may read.
        cpu_seconds: Seconds of processor time; 0 leaves it to the host's deadline.
    """
    folders = [*python_folders(), *(installed_folders() if packages else ()), SOURCE + "/swift_core/sandbox"]
    allowed = [*folders, *_LIBRARIES, *_MACHINE, *_DEVICES, nowhere(), *readable]
    return asdict(
        Confinement(level, list(dict.fromkeys(allowed)), list(_WRITABLE), memory=memory, cpu_seconds=cpu_seconds)
    )


def python_folders() -> tuple[str, ...]:
    """Return the folders of the standard library and of the interpreter."""
    paths = sysconfig.get_paths()
    library = [paths["stdlib"], paths["platstdlib"], str(Path(sys.base_prefix) / "lib")]
    return tuple(dict.fromkeys([*library, *(path for path in sys.path if path.endswith((".zip", "lib-dynload")))]))


def installed_folders() -> tuple[str, ...]:
    """Return the folders that Python imports installed packages from, editable ones included; never a home folder."""
    script = {"", str(Path.cwd()), os.path.dirname(os.path.abspath(sys.argv[0] or "."))}
    homes = {str(Path.home()), *map(str, Path.home().parents)}
    folders = [path for path in sys.path if os.path.isdir(path) and path not in script and path not in homes]
    return tuple(dict.fromkeys([*site_folders(), *folders, SOURCE]))


def site_folders() -> tuple[str, ...]:
    """Return the site-packages folders of `sys.path`; their `.pth` files run in the confined process again."""
    known = {*site.getsitepackages(), sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]}
    return tuple(path for path in dict.fromkeys(sys.path) if path in known and os.path.isdir(path))


def start(
    command: list[str], *, stdin: int, stdout: int, stderr: int, pass_fds: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, with a clean environment and no open files.

    Raises:
        SwiftError: This system has no such processes (Windows).
    """
    if os.name != "posix":
        message = "code of others is confined on Linux and macOS, not on this system."
        raise SwiftError(
            Problem("sandbox-unavailable", message, None, "plugins.sandbox: {mode: off} runs it unconfined")
        )
    return (
        _starter(os.getpid())
        .submit(
            subprocess.Popen,
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            env=environment(),
            cwd=nowhere(),
            start_new_session=True,
            bufsize=0,
        )
        .result()
    )


@functools.lru_cache(maxsize=1)
def _starter(process: int) -> ThreadPoolExecutor:
    """Return the thread that starts processes; a forked process has one of its own."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"swift-sandbox-{process}")


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with everything in its session, and wait for its end."""
    try:
        os.killpg(process.pid, 9)
    except (ProcessLookupError, PermissionError):
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
