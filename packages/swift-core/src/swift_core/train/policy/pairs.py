"""Which two answers to a prompt make a pair, as pure functions over scored answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swift_core.train.policy.samples import Sample

NoPair = Literal["tied", "unjudged"]
"""Why there is no pair: all rewards are equal, or fewer than two answers have one."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The best answer to a prompt and the worst."""

    chosen: Sample
    rejected: Sample
    margin: float
    """Reward of the chosen answer less that of the rejected one, > 0."""


def pair_of(group: Sequence[Sample], weights: Mapping[str, float], *, leave_cut: bool) -> Pair | NoPair:
    """Return the answer with the largest reward against the one with the smallest, of equals the one drawn first.

    Args:
        group: The answers to one prompt.
        weights: Of the rewards.
        leave_cut: Leave out answers that were cut at the longest length.
    """
    totals = [sample.total(weights) for sample in group]
    known = [
        index
        for index, (total, sample) in enumerate(zip(totals, group, strict=True))
        if total == total and not (leave_cut and not sample.rollout.finished)
    ]
    if len(known) < 2:
        return "unjudged"
    best, worst = max(known, key=lambda i: (totals[i], -i)), min(known, key=lambda i: (totals[i], i))
    if totals[best] == totals[worst]:
        return "tied"
    return Pair(group[best], group[worst], totals[best] - totals[worst])
