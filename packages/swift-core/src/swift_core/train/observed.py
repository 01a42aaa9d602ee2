"""Schedules that follow held-out figures: each evaluation is told to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from swift_core.assemble.broken_part import named
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from swift_core.contracts.handover import Parts


class Observed(TrainerCallback):
    """Tells every evaluation to a schedule that has `observe`; refuses a run that is never evaluated."""

    def __init__(self, parts: Parts) -> None:
        """Take the run."""
        self._plan = parts.plan

    def on_train_begin(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Refuse a schedule that would wait for figures in vain."""
        if hasattr(event.get("lr_scheduler"), "observe") and args.eval_strategy == "no":
            raise self._wrong("follows held-out figures, and this run evaluates only before and after")

    def on_evaluate(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Pass the figures on."""
        schedule = event.get("lr_scheduler")
        if schedule is not None and hasattr(schedule, "observe"):
            try:
                schedule.observe(event["metrics"])
            except ValueError as error:
                raise self._wrong(f"cannot go on: {error}") from error

    def _wrong(self, what: str) -> SwiftError:
        part = self._plan.scheduler
        next_step = "set train.eval_strategy to steps or epoch" if "evaluates" in what else part.plugin.info_command
        place = self._plan.config.place(part.key)
        return SwiftError(Problem("scheduler-failed", f"{named(part)} {what}.", place, next_step))
