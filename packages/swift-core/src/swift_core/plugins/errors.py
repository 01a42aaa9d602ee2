"""What can go wrong at the plugin border."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Iterable


class PluginError(SwiftError):
    """A plugin that cannot be had, without a place in a run file: whoever read the file adds the place.

    `code`, `message` and `next_step` are those of the first problem.
    """

    def __init__(self, code: str, message: str, next_step: str = "") -> None:
        """Make an error of one problem."""
        super().__init__(Problem(code, message, next_step=next_step))

    @classmethod
    def of(cls, errors: Iterable[PluginError]) -> PluginError:
        """Return one error with the problems of several."""
        merged = cls.__new__(cls)
        SwiftError.__init__(merged, [problem for error in errors for problem in error.problems])
        return merged

    @property
    def code(self) -> str:
        """Stable name of the first problem."""
        return self.problems[0].code

    @property
    def message(self) -> str:
        """What is wrong, of the first problem."""
        return self.problems[0].message

    @property
    def next_step(self) -> str:
        """What helps, of the first problem."""
        return self.problems[0].next_step
