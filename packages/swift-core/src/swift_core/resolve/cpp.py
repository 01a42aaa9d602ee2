"""C++ files of a run: planning builds none, and says that training will."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.plugins.cpp_build import is_built, missing_tools

if TYPE_CHECKING:
    from swift_core.contracts.plugin import PluginSpec
    from swift_core.resolve.findings import Findings


def check_cpp(findings: Findings, plugin: PluginSpec, key: str) -> None:
    """Keep what is missing to build the file of `plugin`, or note what will become of it."""
    assert plugin.path is not None
    problems = missing_tools()
    for problem in problems:
        findings.wrong(problem.code, problem.message, key, problem.next_step)
    if not problems:
        done = "is built already" if is_built(plugin.path) else "is built with the C++ compiler before training, once"
        findings.note(f"{plugin.path.name} {done}")
