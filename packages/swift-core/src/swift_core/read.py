"""From a run file to its plan, with everything that is wrong with either told at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from swift_core.config.load import BadRunFileError, load
from swift_core.errors import Problem, SwiftError, in_order
from swift_core.resolve.plan import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from swift_core.contracts.handover import RunConfig, RunPlan
    from swift_core.plugins.registry import Registry
    from swift_core.resolve.machine import Machine


def read_plan(
    path: Path,
    overrides: Sequence[str],
    registry: Registry,
    *,
    machine: Machine | None = None,
    planning: bool = False,
    sampling: bool = False,
) -> RunPlan:
    """Return what the run file at `path` asks for; the options are those of `resolve`.

    Raises:
        SwiftError: With every mistake. Where keys are wrong, names and options are looked up in the file as it was
            probably meant: three typos are three messages, not three attempts.
    """
    resolved = partial(resolve, registry=registry, machine=machine, planning=planning, sampling=sampling)
    try:
        config = load(path, overrides)
    except BadRunFileError as bad:
        problems = [*bad.problems, *_others(bad, resolved)]
        raise SwiftError(in_order(problems, str(path))) from None
    return resolved(config)


def _others(bad: BadRunFileError, resolved: Callable[[RunConfig], RunPlan]) -> list[Problem]:
    """Return what is wrong beside what was found while reading."""
    if bad.mended is None:
        return []
    try:
        resolved(bad.mended)
    except SwiftError as error:
        told = {problem.place for problem in bad.problems if problem.place}
        return [problem for problem in error.problems if problem.place not in told]
    return []
