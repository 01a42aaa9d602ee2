"""Brevity: 1.0 for an answer of at most so many words, falling to 0.0 at twice as many."""

from collections.abc import Sequence
from dataclasses import dataclass

from swift_core.plugin_api import require_positive


@dataclass(frozen=True, slots=True, kw_only=True)
class Brevity:
    """A reward for short answers."""

    num_words: int = 20
    """Words that an answer may have at no cost, > 0."""

    def __post_init__(self) -> None:
        require_positive(num_words=self.num_words)

    def __call__(self, completions: Sequence[str]) -> list[float | None]:
        """Return a score in [0, 1] per answer; an empty answer is abstained from."""
        return [self._score(len(completion.split())) for completion in completions]

    def _score(self, count: int) -> float | None:
        return None if count == 0 else max(0.0, min(1.0, 2 - count / self.num_words))
