"""What went wrong, where, and what to do next: the one error type that users are meant to read.

A `Problem` is one mistake with its place in the run file. A `SwiftError` carries every problem that was found: a user
mends a file once and not one key at a time. The command line prints them and exits with code 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}
"""Characters that a terminal takes for commands, all but the tab and the line break, as they are shown instead."""


def shown(text: str) -> str:
    """Return `text` as a terminal may show it, whoever chose the names in it."""
    return text.translate(_CONTROLS)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a text file; lines and columns count from one."""

    file: str
    line: int
    column: int
    text: str = ""
    """The line itself, without its line break; shown under the message."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, said once and completely."""

    code: str
    """A stable, hyphenated name such as `unknown-plugin`."""

    message: str
    """What is wrong and what was meant, as full sentences without a line break."""

    place: Place | None = None
    """Where the user can mend it; None when no file is to blame."""

    next_step: str = ""
    """A command or an edit that helps, without the word "next"."""

    def render(self) -> str:
        """Return the message, the offending line with a caret, and the next step, as plain lines."""
        head = f"{self.place}: " if self.place else ""
        lines = [f"{head}error[{self.code}]: {self.message}"]
        if self.place and self.place.text.strip():
            number = str(self.place.line)
            lines.append(f"  {number} | {self.place.text}")
            lines.append(f"  {' ' * len(number)} | {' ' * (self.place.column - 1)}^")
        if self.next_step:
            lines.append(f"  next: {self.next_step}")
        return shown("\n".join(lines))


def in_order(problems: Iterable[Problem], file: str) -> list[Problem]:
    """Return the problems in the order of `file`, those without a place in it last, each once."""

    def position(problem: Problem) -> tuple[bool, int, int]:
        place = problem.place
        return (place is None or place.file != file, place.line if place else 0, place.column if place else 0)

    return sorted(dict.fromkeys(problems), key=position)


class SwiftError(Exception):
    """A user's mistake, or several; never a bug of ours."""

    exit_code = 2

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        if not self.problems:
            raise ValueError("a SwiftError needs at least one problem")
        super().__init__("\n".join(problem.render() for problem in self.problems))


class InterruptedRunError(SwiftError):
    """Ctrl-C ended a run at a step boundary; a checkpoint is there."""

    exit_code = 130


class TerminatedRunError(InterruptedRunError):
    """SIGTERM ended a run at a step boundary; a checkpoint is there."""

    exit_code = 143


class NonFiniteError(SwiftError):
    """A loss, gradient or weight was no finite number; nothing that is not finite was saved."""

    exit_code = 3


class OutOfMemoryError(SwiftError):
    """Memory ran out; the last checkpoint stays."""

    exit_code = 4
