"""The enabled `swift.hooks` plugins: registered, asked about the run file, and told of when they fail."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from swift_core.assemble.broken_part import told, wrong_return
from swift_core.contracts.hooks import ReportSection
from swift_core.errors import Problem, SwiftError
from swift_core.plugins.hooks import manager

if TYPE_CHECKING:
    from collections.abc import Callable

    import pluggy

    from swift_core.contracts.handover import PartPlan, RunPlan


def build_hooks(plan: RunPlan) -> pluggy.PluginManager:
    """Return a manager that calls the enabled hooks, after they had their say on the run file.

    Raises:
        SwiftError: One is no hook, failed, or found the run file wrong.
    """
    built = [(part, plan.create(part)) for part in plan.hooks]
    for part, hook in built:
        _check(plan, part, hook)
    hooks = manager(hook for _, hook in built)
    for part, hook in built:
        for caller in hooks.get_hookcallers(hook) or ():
            for implementation in caller.get_hookimpls():
                if implementation.plugin is hook:
                    held = _held(plan, part, caller.name, implementation.function)
                    implementation.function = held  # type: ignore[misc]  # final by its annotation alone
    answers = hooks.hook.swift_validate_config(config=plan.config)
    if problems := [problem for answer in answers for problem in answer or ()]:
        raise SwiftError(problems)
    return hooks


def _check(plan: RunPlan, part: PartPlan, hook: object) -> None:
    """Raise SwiftError, at its place, when `hook` is none."""
    try:
        manager([hook])
    except SwiftError as error:
        place = plan.config.place(part.key)
        raise SwiftError(
            Problem(each.code, f"{part.plugin.in_full}: {each.message}", place, each.next_step)
            for each in error.problems
        ) from error


def _held(plan: RunPlan, part: PartPlan, moment: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a hook's function, which tells what it raises and what it returns wrongly."""

    @wraps(function)
    def called(*arguments: Any) -> Any:
        with told(plan, part):
            value = function(*arguments)
            if moment == "swift_validate_config" and value is not None:
                value = list(value)
        if moment == "swift_validate_config":
            for problem in value or ():
                if not isinstance(problem, Problem):
                    raise wrong_return(plan, part, moment, "Problems", problem)
        if moment == "swift_report_section" and not isinstance(value, ReportSection | None):
            raise wrong_return(plan, part, moment, "a ReportSection or None", value)
        return value

    return called
