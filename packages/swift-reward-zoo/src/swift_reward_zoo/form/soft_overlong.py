"""Soft overlong punishment: 0 up to a length, then falling linearly to -1 at the limit and no further.

    score = -clamp((length - (max_length - cache_length)) / cache_length, 0, 1)

Lengths are tokens where the column `response_token_ids` or `completion_ids` has the ids, else characters. DAPO: Yu et
al., 2025, arXiv:2503.14476, eq. 13.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift_core.plugin_api import require_positive
from swift_reward_zoo._batch import response_lengths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftOverlong:
    """A punishment of responses that come near the limit of length, in [-1, 0]."""

    max_length: int
    """Length from which the score is -1, > 0; tokens where a column has their ids, else characters."""

    cache_length: int
    """How long before `max_length` the punishment begins, in [1, max_length]; in the same unit."""

    def __post_init__(self) -> None:
        """Check the options."""
        require_positive(max_length=self.max_length, cache_length=self.cache_length)
        if self.cache_length > self.max_length:
            raise ValueError(f"cache_length must be <= max_length ({self.max_length}), got {self.cache_length}")

    def __call__(
        self,
        infer_requests: Sequence[InferRequest],
        response_token_ids: Sequence[Sequence[int]] | None = None,
        completion_ids: Sequence[Sequence[int]] | None = None,
    ) -> list[float]:
        """Return the score of each response; raise ValueError for token ids that are not one list per response."""
        lengths = response_lengths("soft_overlong", infer_requests, response_token_ids, completion_ids)
        free = self.max_length - self.cache_length
        return [0.0 - min(max(length - free, 0) / self.cache_length, 1.0) for length in lengths]
