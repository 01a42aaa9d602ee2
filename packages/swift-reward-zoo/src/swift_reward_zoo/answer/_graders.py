"""The rewards that say whether an answer is right, by name: for rewards that are made of one."""

from __future__ import annotations

from typing import Any, Literal

from swift_reward_zoo.answer.choice import Choice
from swift_reward_zoo.answer.exact_match import ExactMatch
from swift_reward_zoo.answer.final_number import FinalNumber
from swift_reward_zoo.answer.math import Math

Grader = Literal["math", "final_number", "choice", "exact_match"]

_GRADERS = {"math": Math, "final_number": FinalNumber, "choice": Choice, "exact_match": ExactMatch}


def grader(name: str) -> Any:
    """Return a grader with its defaults; raise ValueError when there is none of that name."""
    if name not in _GRADERS:
        raise ValueError(f"grader must be one of {', '.join(_GRADERS)}, got {name!r}")
    return _GRADERS[name]()
