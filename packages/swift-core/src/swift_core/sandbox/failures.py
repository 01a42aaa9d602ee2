"""What goes wrong with a confined process. A failure is never a result: it has a kind, is counted and told."""

from __future__ import annotations

from swift_core.contracts.reward import FailureKind
from swift_core.errors import Problem, SwiftError
from swift_core.sandbox.levels import MEANING, Level

__all__ = ["FailureKind", "SandboxUnavailableError", "WorkerFailure"]


class WorkerFailure(Exception):  # noqa: N818 - it is handed over as a value more often than it is raised
    """One item that a worker could not answer."""

    def __init__(self, kind: FailureKind, message: str, *, exception: str = "", place: str = "") -> None:
        """Make the failure.

        Args:
            kind: `timeout`, `crash`, `flood`, `memory`, or `error` when the code itself raised.
            message: What happened, without a full stop.
            exception: Name of the exception class, for `error`.
            place: File and line that raised it.
        """
        named = f"{exception}: {message}" if exception else message
        super().__init__(f"{named} ({place})" if place else named)
        self.kind: FailureKind = kind
        self.message = message
        self.exception = exception
        self.place = place


class WorkerStartError(SwiftError):
    """A worker's code cannot be imported there, or takes too long to import."""

    def __init__(self, target: str, failure: WorkerFailure) -> None:
        """Make the error of a worker for `target`."""
        super().__init__(Problem("worker-start", f"a worker for {target} does not start: {failure}."))
        self.failure = failure


class SandboxUnavailableError(SwiftError):
    """The machine cannot confine a process as well as it was asked to; nothing was run."""

    def __init__(self, required: Level, reached: Level, reason: str) -> None:
        """Make the error of a machine that reaches `reached`, for `reason`, and not `required`."""
        message = f"sandbox level {required} is required and this machine reaches {reached}: {reason}"
        next_step = "swift doctor sandbox"
        super().__init__(
            Problem("sandbox-unavailable", f"{message}. {required} is {MEANING[required]}.", None, next_step)
        )
        self.required, self.reached, self.reason = required, reached, reason
