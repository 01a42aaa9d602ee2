"""Problems of a run file, collected with their places while it is resolved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from swift_core.errors import Problem, SwiftError, in_order

if TYPE_CHECKING:
    from swift_core.contracts.handover import RunConfig


@dataclass(slots=True)
class Findings:
    """What was found wrong, and what a reader of the plan should know."""

    config: RunConfig
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def wrong(self, code: str, message: str, key: str, next_step: str = "") -> None:
        """Keep a mistake in the value of `key`."""
        self.problems.append(Problem(code, message, self.config.place(key), next_step))

    def wrong_key(self, code: str, message: str, key: str, next_step: str = "") -> None:
        """Keep a mistake in the name of `key` itself."""
        place = self.config.key_places.get(key) or self.config.place(key)
        self.problems.append(Problem(code, message, place, next_step))

    def adopt(self, error: SwiftError, key: str) -> None:
        """Keep the problems of `error`, which knows no place, at the value of `key`."""
        place = self.config.place(key)
        self.problems += [
            Problem(problem.code, problem.message, problem.place or place, problem.next_step)
            for problem in error.problems
        ]

    def note(self, text: str) -> None:
        """Keep a decision that a user should see."""
        if text not in self.notes:
            self.notes.append(text)

    def stop_if_any(self) -> None:
        """Raise SwiftError with everything that was found, in the order of the file."""
        if self.problems:
            raise SwiftError(in_order(self.problems, str(self.config.path)))
