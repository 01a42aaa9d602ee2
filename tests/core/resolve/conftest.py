"""Helpers of the tests of `resolve/`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from swift_core.config.load import parse
from swift_core.contracts.handover import RunPlan
from swift_core.errors import Problem, SwiftError
from swift_core.plugins.registry import Registry, installed
from swift_core.resolve.machine import Machine
from swift_core.resolve.plan import resolve

BARE = Machine(num_gpus=0)


@pytest.fixture
def plan_of(tmp_path: Path) -> Callable[..., RunPlan]:
    """Return a function that resolves a run file in an empty folder: text, overrides -> plan."""

    def plan(
        text: str, *overrides: str, machine: Machine = BARE, planning: bool = False, registry: Registry | None = None
    ) -> RunPlan:
        config = parse(text, tmp_path / "run.yaml", overrides)
        return resolve(config, registry or installed(), machine=machine, planning=planning)

    return plan


@pytest.fixture
def problems_of(plan_of: Callable[..., RunPlan]) -> Callable[..., list[Problem]]:
    """Return a function that gives what is wrong with a run file."""

    def problems(text: str, *overrides: str, machine: Machine = BARE, planning: bool = False) -> list[Problem]:
        with pytest.raises(SwiftError) as caught:
            plan_of(text, *overrides, machine=machine, planning=planning)
        return list(caught.value.problems)

    return problems
