"""Repetition penalty: how much of a response says again what it has said.

    score = max_penalty * (1 - different n-grams / n-grams)

N-grams are of tokens where the column `response_token_ids` or `completion_ids` has the ids. Else they are of words,
letter by letter in Chinese, Japanese, Thai and other writing without spaces and in words of over 30 letters, so that
text without spaces is judged too. Yeo et al., 2025, arXiv:2502.03373.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift_core.plugin_api import require_positive
from swift_reward_zoo._batch import response_lengths
from swift_reward_zoo._words import short_words

if TYPE_CHECKING:
    from swift_core.plugin_api import InferRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """A punishment of repeated n-grams, in [max_penalty, 0]."""

    ngram_size: int = 3
    """Tokens or words in an n-gram, >= 1; a shorter response is not punished."""

    max_penalty: float = -1.0
    """What a response of nothing but repetition comes near to, <= 0."""

    def __post_init__(self) -> None:
        """Check the options."""
        require_positive(ngram_size=self.ngram_size)
        if not self.max_penalty <= 0:
            raise ValueError(f"max_penalty must be <= 0, got {self.max_penalty}")

    def __call__(
        self,
        infer_requests: Sequence[InferRequest],
        response_token_ids: Sequence[Sequence[int]] | None = None,
        completion_ids: Sequence[Sequence[int]] | None = None,
    ) -> list[float]:
        """Return the penalty of each response; raise ValueError for token ids that are not one list per response."""
        response_lengths("repetition", infer_requests, response_token_ids, completion_ids)
        given = completion_ids if response_token_ids is None else response_token_ids
        if given is None:
            return [self._penalty(short_words((request.response or "").lower())) for request in infer_requests]
        return [self._penalty(ids) for ids in given]

    def _penalty(self, sequence: Sequence[Hashable]) -> float:
        return self.max_penalty * repeated_share(sequence, self.ngram_size) + 0.0


def repeated_share(sequence: Sequence[Hashable], size: int) -> float:
    """Return the share of the n-grams of `sequence` that occurred before, in [0, 1); 0.0 when it has none."""
    total = len(sequence) - size + 1
    if total <= 0:
        return 0.0
    return 1.0 - len(set(zip(*(sequence[start:] for start in range(size)), strict=False))) / total
