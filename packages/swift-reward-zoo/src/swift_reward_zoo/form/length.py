"""Length: 1 inside a range of lengths, falling linearly to 0 outside it.

    distance = how far the length lies outside [min_length, max_length], 0 inside
    score    = max(0, 1 - distance / slack)          slack = 0: 1 inside, 0 outside

Lengths are tokens where the column `response_token_ids` or `completion_ids` has the ids, else characters. The idea of a
length reward as a function of each response alone: Aggarwal and Welleck, 2025, "L1", arXiv:2503.04697.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift_core.plugin_api import require_nonnegative
from swift_reward_zoo._batch import response_lengths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How well a response keeps to a range of lengths, in [0, 1]."""

    max_length: int
    """Largest length that is worth 1, >= min_length; tokens where a column has their ids, else characters."""

    min_length: int = 1
    """Smallest length that is worth 1, >= 0; in the same unit."""

    slack: int = 0
    """How far outside the range the score reaches 0, >= 0; in the same unit."""

    def __post_init__(self) -> None:
        """Check the options."""
        require_nonnegative(min_length=self.min_length, slack=self.slack)
        if self.max_length < self.min_length:
            raise ValueError(f"max_length must be >= min_length ({self.min_length}), got {self.max_length}")

    def __call__(
        self,
        infer_requests: Sequence[InferRequest],
        response_token_ids: Sequence[Sequence[int]] | None = None,
        completion_ids: Sequence[Sequence[int]] | None = None,
    ) -> list[float]:
        """Return the score of each response; raise ValueError for token ids that are not one list per response."""
        lengths = response_lengths("length", infer_requests, response_token_ids, completion_ids)
        return [self._score(length) for length in lengths]

    def _score(self, length: int) -> float:
        distance = max(self.min_length - length, length - self.max_length, 0)
        return max(0.0, 1.0 - distance / self.slack) if distance and self.slack else float(not distance)
