"""Cosine: what is right is worth more when short, what is wrong costs less when long.

    share = min(length, max_length) / max_length
    score = at_max + (at_zero - at_max) * (1 + cos(pi * share)) / 2

with one pair of ends for right answers and one for wrong ones; past `max_length` the score stays at its end. Lengths
are tokens where the column `response_token_ids` or `completion_ids` has the ids, else characters. Yeo et al., 2025,
arXiv:2502.03373.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift_core.plugin_api import require_positive
from swift_reward_zoo._batch import response_lengths
from swift_reward_zoo.answer._graders import Grader, grader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine:
    """Correctness weighed by length; None where the grader abstains."""

    max_length: int
    """Length at which the score reaches its end, > 0; tokens where a column has their ids, else characters."""

    right_at_zero: float = 1.0
    """Score of a right answer of length 0."""

    right_at_max: float = 0.5
    """Score of a right answer of `max_length` and more."""

    wrong_at_zero: float = -0.5
    """Score of a wrong answer of length 0."""

    wrong_at_max: float = 0.0
    """Score of a wrong answer of `max_length` and more."""

    grader: Grader = "math"
    """The reward that says what is right, with its defaults."""

    def __post_init__(self) -> None:
        """Check the options."""
        require_positive(max_length=self.max_length)
        right, wrong = min(self.right_at_zero, self.right_at_max), max(self.wrong_at_zero, self.wrong_at_max)
        if not right > wrong:
            raise ValueError(f"right answers must be worth more than wrong ones, got {right:g} and {wrong:g}")
        grader(self.grader)

    def __call__(
        self,
        infer_requests: Sequence[InferRequest],
        ground_truths: Sequence[str | None],
        response_token_ids: Sequence[Sequence[int]] | None = None,
        completion_ids: Sequence[Sequence[int]] | None = None,
    ) -> list[float | None]:
        """Return the score of each response, None where the grader abstains.

        Raises:
            ValueError: As the grader does, and for token ids that are not one list per response.
        """
        lengths = response_lengths("cosine", infer_requests, response_token_ids, completion_ids)
        grades = grader(self.grader)(infer_requests, ground_truths)
        return [
            None if grade is None else self._score(grade > 0.5, length)
            for grade, length in zip(grades, lengths, strict=True)
        ]

    def _score(self, is_right: bool, length: int) -> float:
        at_zero, at_max = (
            (self.right_at_zero, self.right_at_max) if is_right else (self.wrong_at_zero, self.wrong_at_max)
        )
        share = min(length, self.max_length) / self.max_length
        return at_max + (at_zero - at_max) * (1 + math.cos(math.pi * share)) / 2
