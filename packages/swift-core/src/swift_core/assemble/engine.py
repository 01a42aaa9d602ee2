"""The generation engine of a run: built, and held to its contract at every call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.assemble.broken_part import named, told, wrong_return
from swift_core.contracts.engine import Rollout
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swift_core.contracts.engine import SamplingParams
    from swift_core.contracts.handover import PartPlan, RunPlan

_METHODS = ("generate", "update_weights", "close")


def build_engine(plan: RunPlan) -> Any:
    """Return what generates in `plan`; None where nothing is drawn.

    Raises:
        SwiftError: It cannot be built, or lacks a method.
    """
    part = plan.engine
    if part is None:
        return None
    engine = plan.create(part)
    lacking = [name for name in _METHODS if not callable(getattr(engine, name, None))]
    if lacking:
        message = f"{named(part)} has no method {lacking[0]}; an engine has {', '.join(_METHODS)}."
        raise SwiftError(Problem("broken-plugin", message, plan.config.place(part.key), part.plugin.info_command))
    return HeldEngine(plan, part, engine)


class HeldEngine:
    """An engine whose failures, and answers that are none, are told with its wheel and place."""

    def __init__(self, plan: RunPlan, part: PartPlan, engine: Any) -> None:
        """Take an engine with the part that it is."""
        self._plan, self._part, self._engine = plan, part, engine

    def __getattr__(self, name: str) -> Any:
        """Return what the engine has; a method tells what it raises."""
        value = getattr(self._engine, name)
        return self._telling(value) if callable(value) else value

    def generate(self, prompts: Sequence[Sequence[int]], params: SamplingParams, /) -> list[list[Rollout]]:
        """Return the engine's answers.

        Raises:
            SwiftError: It failed, or returned something else than `params.num_answers` answers for each prompt.
        """
        drawn = self._telling(self._engine.generate)(prompts, params)
        groups = list(drawn) if hasattr(drawn, "__iter__") and not isinstance(drawn, str) else None
        if groups is None or len(groups) != len(prompts):
            raise self._wrong("a group of answers for each prompt", drawn if groups is None else groups)
        for group in groups:
            if isinstance(group, str) or not hasattr(group, "__len__"):
                raise self._wrong("a list of Rollouts for each prompt", group)
            if len(group) != params.num_answers:
                message = f"generate of {named(self._part)} returned {len(group)} answers to a prompt, not "
                raise self._problem(f"{message}{params.num_answers}.")
            if strange := [each for each in group if not isinstance(each, Rollout)]:
                raise self._wrong("Rollouts", strange[0])
        return [list(group) for group in groups]

    def _telling(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            with told(self._plan, self._part):
                return method(*arguments)

        return call

    def _wrong(self, wanted: str, returned: Any) -> SwiftError:
        return wrong_return(self._plan, self._part, "generate", wanted, returned)

    def _problem(self, message: str) -> SwiftError:
        place, next_step = self._plan.config.place(self._part.key), self._part.plugin.info_command
        return SwiftError(Problem("broken-plugin", message, place, next_step))
