"""`swift doctor`: this machine, what is installed, and what is wrong with it. Imports no plugin and no torch."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swift_core.plugins.registry import Registry

_LIBRARIES = ("torch", "transformers", "peft", "accelerate", "datasets", "tokenizers", "safetensors", "pydantic")
_CPU_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16", "i8mm")
_GIB = 2**30


@click.group("doctor", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Look for what is wrong with this machine and with what is installed; exit code 1 when something is.

    Nothing is imported: swift plugins list --verify imports each plugin in another process.
    """
    if context.invoked_subcommand is None:
        _look()


@command.command("sandbox")
@click.option("--level", type=click.Choice(["L1", "L2", "L3"]), help="Attack this level alone, not every one there is.")
def sandbox(level: str | None) -> None:
    """Say how well this machine confines code of others, and prove it: run every attack at every level.

    Exit code 1 when an attack gets out of L2 or L3, or when L2 is not reached.
    """
    from swift_core.cli.doctor_sandbox import look

    if not look(level):
        raise click.exceptions.Exit(1)


def _look() -> None:
    from swift_core.plugins.health import findings
    from swift_core.plugins.registry import VARIABLE, installed

    registry = installed()
    for label, text in (*_machine(), *_versions(registry), *_border(registry)):
        click.echo(f"{label:<16} {text}")
    wrong = [f"{finding.distribution}: {finding.message} [{finding.code}]" for finding in findings(registry)]
    wrong += [f"{VARIABLE}: {problem.message}" for problem in _environment_problems(registry)]
    click.echo("\n".join(f"{'wrong':<16} {line}" for line in wrong) if wrong else "nothing is wrong")
    if wrong:
        raise click.exceptions.Exit(1)


def _machine() -> Iterator[tuple[str, str]]:
    yield "python", f"{platform.python_version()} ({sys.executable})"
    yield "system", f"{platform.system()} {platform.release()} {platform.machine()}"
    yield "cpu", f"{os.cpu_count()} cores; {_cpu_features()}"
    yield "memory", _memory()
    yield "gpu", _gpus()
    yield "disk", f"{shutil.disk_usage(Path.cwd()).free / _GIB:.1f} GiB free in {Path.cwd()}"


def _cpu_features() -> str:
    """Return the features of /proc/cpuinfo that decide speed and dtype."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "features unknown on this system"
    flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "").split()
    return ", ".join(feature for feature in _CPU_FEATURES if feature in flags) or "no vector features that matter"


def _memory() -> str:
    try:
        pages, free, size = (os.sysconf(name) for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES", "SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return "unknown on this system"
    return f"{pages * size / _GIB:.1f} GiB, {free * size / _GIB:.1f} GiB unused"


def _gpus() -> str:
    """Ask NVIDIA's driver, without torch."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "none found (no nvidia-smi)"
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        result = subprocess.run(query, capture_output=True, text=True, errors="replace", timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"nvidia-smi does not answer: {error}"
    output = "; ".join((result.stdout.strip() or result.stderr.strip()).splitlines())
    return output if result.returncode == 0 else f"nvidia-smi fails: {output}"


def _versions(registry: Registry) -> Iterator[tuple[str, str]]:
    from swift_core.plugins.discover import FIRST_PARTY

    for name in (*sorted(FIRST_PARTY), *_LIBRARIES):
        distribution = registry.found.distributions.get(name)
        yield name, distribution.version if distribution else "not installed"
    pillow = registry.found.distributions.get("pillow")
    yield "pillow", pillow.version if pillow else "not installed; rows with images need it: swift-core[vision]"


def _border(registry: Registry) -> Iterator[tuple[str, str]]:
    from swift_core.plugins.registry import VARIABLE
    from swift_core.plugins.trust import trusted_folders

    specs = registry.specs()
    wheels = sorted({spec.distribution for spec in specs if not spec.first_party})
    yield "plugins", f"{len(specs)}; wheels of others: {', '.join(wheels) or 'none'}"
    yield (
        "allow-list",
        f"{VARIABLE}={os.environ[VARIABLE]}" if VARIABLE in os.environ else f"none ({VARIABLE} is not set)",
    )
    try:
        yield "trusted", ", ".join(map(str, trusted_folders())) or "no folder"
    except SwiftError as error:
        yield "trusted", error.problems[0].message


def _environment_problems(registry: Registry) -> list[Problem]:
    if registry.policy is None:
        return []
    from swift_core.plugins.policy import unknown_in_environment

    return [
        problem for e in unknown_in_environment(registry.policy, registry.found.distributions) for problem in e.problems
    ]
