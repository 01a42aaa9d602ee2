"""What a part of the run does wrong while it runs: told with its name, wheel and version, and its place."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Collection

    from swift_core.contracts.handover import PartPlan, RunPlan


def failure(plan: RunPlan, part: PartPlan, error: Exception, *, own_files: Collection[str] = ()) -> SwiftError:
    """Return the error of a part whose code raised `error`.

    Args:
        plan: The run.
        part: The part.
        error: What it raised.
        own_files: Files of core in which a check may have raised it: they are not shown.
    """
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = "" if frame.filename in own_files else f" ({frame.filename}:{frame.lineno})"
    message = f"{named(part)} raised {type(error).__name__}: {error}{where}"
    return _at(plan, part, f"{part.kind}-failed", message)


def wrong_return(plan: RunPlan, part: PartPlan, method: str, wanted: str, returned: Any) -> SwiftError:
    """Return the error of a part whose method `method` (empty: the part itself) returned something else."""
    says = f"{method} of {named(part)}" if method else named(part)
    return _at(plan, part, "broken-plugin", f"{says} must return {wanted}, got {type(returned).__name__}.")


def named(part: PartPlan) -> str:
    """Return a part's kind and name with the wheel it is from."""
    plugin = part.plugin
    return f"{part.kind} {plugin.name!r} of {plugin.distribution} {plugin.version}"


def _at(plan: RunPlan, part: PartPlan, code: str, message: str) -> SwiftError:
    return SwiftError(Problem(code, message, plan.config.place(part.key), part.plugin.info_command))
