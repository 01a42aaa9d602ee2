"""Load plugins in other processes, to see which cannot be: a plugin that crashes or hangs takes nothing with it.

One process serves the plugins of one distribution in turn; when it dies, a new one goes on after the culprit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from swift_core.contracts.plugin import PluginSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

DEADLINE = 180.0
"""Seconds in which the plugins of one distribution must be imported; torch alone may take 20 on a cold machine."""

_CHILD = """
import json, sys
request = json.load(sys.stdin)
sys.path[:] = request["path"]
from swift_core.plugins.verify import answer
answer(request["plugins"])
"""


def verify(specs: Iterable[PluginSpec], *, deadline: float = DEADLINE) -> dict[PluginSpec, str]:
    """Return, for each plugin, what is wrong with loading it; an empty string when nothing is."""
    by_distribution: dict[str, list[PluginSpec]] = defaultdict(list)
    for spec in specs:
        by_distribution[spec.distribution].append(spec)
    failures: dict[PluginSpec, str] = {}
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for result in pool.map(lambda group: _verify_group(group, deadline), by_distribution.values()):
            failures |= result
    return failures


def _verify_group(specs: list[PluginSpec], deadline: float) -> dict[PluginSpec, str]:
    done: dict[PluginSpec, str] = {}
    while len(done) < len(specs):
        waiting = specs[len(done) :]
        answers, end = _ask(waiting, deadline)
        done |= dict(zip(waiting, answers, strict=False))
        if len(answers) < len(waiting):
            done[waiting[len(answers)]] = end
    return done


def _ask(specs: list[PluginSpec], deadline: float) -> tuple[list[str], str]:
    """Return the answers of one process, and how it ended."""
    plugins = [[spec.kind, spec.name, spec.target, spec.distribution, spec.version] for spec in specs]
    request = json.dumps({"path": sys.path, "plugins": plugins})
    child = [sys.executable, "-I", "-c", _CHILD]
    try:
        result = subprocess.run(
            child, input=request, capture_output=True, text=True, errors="replace", timeout=deadline
        )
    except subprocess.TimeoutExpired as expired:
        output = expired.stdout or b""
        return _answers(output.decode(errors="replace") if isinstance(output, bytes) else output), (
            f"importing it took longer than {deadline:g} seconds"
        )
    last = (result.stderr.strip().splitlines() or [""])[-1]
    signal = f"signal {-result.returncode}" if result.returncode < 0 else f"exit code {result.returncode}"
    return _answers(result.stdout), f"importing it ended the process with {signal}. {last}".strip()


def _answers(output: str) -> list[str]:
    return [json.loads(line) for line in output.splitlines() if line.startswith('"') and line.endswith('"')]


def answer(plugins: list[list[Any]]) -> None:
    """Import each plugin and write what is wrong with it as one line of JSON; runs in the other process."""
    from swift_core.plugins.errors import PluginError
    from swift_core.plugins.registry import Registry, installed

    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what plugins print while they are imported is not an answer
    registry = Registry(installed().found)
    for kind, name, target, distribution, version in plugins:
        try:
            registry.load(PluginSpec(kind, name, target, distribution, version, "wheel"))
            text = ""
        except PluginError as error:
            text = error.message
        results.write(json.dumps(text) + "\n")
        results.flush()
