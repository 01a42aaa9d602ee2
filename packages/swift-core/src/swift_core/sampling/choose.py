"""Which answers of a prompt are kept, as pure functions. Ties go to the answer that was drawn first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer to a prompt."""

    text: str
    reward: float | None
    """Weighted sum of its rewards; None when every one of them abstained, or there is none."""

    key: str | None
    """What it answers, equal for answers that mean the same; None when it answers nothing."""

    finished: bool
    """False when it was cut at the longest length."""


def distinct(candidates: Sequence[Candidate]) -> list[int]:
    """Return the indices of the first of each text."""
    seen: dict[str, int] = {}
    for index, candidate in enumerate(candidates):
        seen.setdefault(candidate.text, index)
    return sorted(seen.values())


def best_of_n(candidates: Sequence[Candidate]) -> int | None:
    """Return the finished answer with the largest reward; None when none has a reward."""
    return _largest(candidates, {i: c.reward for i, c in enumerate(candidates) if c.finished and c.reward is not None})


def worst_of_n(candidates: Sequence[Candidate]) -> int | None:
    """Return the finished answer with the smallest reward; None when none has a reward."""
    return _largest(candidates, {i: -c.reward for i, c in enumerate(candidates) if c.finished and c.reward is not None})


def majority(candidates: Sequence[Candidate]) -> int | None:
    """Return the best of the answers that say what most say; None when none says anything.

    Self-consistency: Wang et al., 2022, arXiv:2203.11171.
    """
    return _by_votes(candidates, [1.0] * len(candidates))


def weighted_majority(candidates: Sequence[Candidate]) -> int | None:
    """Return the best of the answers whose rewards add up to most; an answer without a reward has no vote.

    Weighted voting: Li et al., 2022, arXiv:2206.02336, section 3.2.
    """
    return _by_votes(candidates, [candidate.reward or 0.0 for candidate in candidates])


def _by_votes(candidates: Sequence[Candidate], votes: Sequence[float]) -> int | None:
    totals: dict[str, float] = {}
    for candidate, vote in zip(candidates, votes, strict=True):
        if candidate.key is not None and candidate.finished:
            totals[candidate.key] = totals.get(candidate.key, 0.0) + vote
    if not totals:
        return None
    winner = max(totals, key=lambda key: totals[key])  # the first of equals: dictionaries keep their order
    voters = {i: c.reward or 0.0 for i, c in enumerate(candidates) if c.key == winner and c.finished}
    return _largest(candidates, voters)


def _largest(candidates: Sequence[Candidate], values: dict[int, float]) -> int | None:
    return max(values, key=lambda index: (values[index], -index)) if values else None


SELECTORS = {"best_of_n": best_of_n, "majority": majority, "weighted_majority": weighted_majority}
"""By the name of `--select`."""
