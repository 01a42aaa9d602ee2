"""What it saves to compute the prompt of a pair once, in tokens: read off the rows, before a model is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

WORTH_IT = 0.1
"""Share of the tokens that must be saved for `train.share_prompt: auto` to share."""

ANSWERS = ("chosen_ids", "rejected_ids")


@dataclass(frozen=True, slots=True)
class Saving:
    """Tokens that the model computes for all pairs, with prompts computed once and twice."""

    num_shared: int
    num_unshared: int

    @property
    def share(self) -> float:
        """Share of the tokens that is saved, in [0, 0.5)."""
        return 1 - self.num_shared / max(self.num_unshared, 1)

    @property
    def is_worth_it(self) -> bool:
        """Whether `auto` shares."""
        return self.share >= WORTH_IT


def saving(rows: Iterable[dict[str, Any]]) -> Saving:
    """Return what sharing saves on `rows`; those that are no pairs have nothing to share."""
    shared = unshared = 0
    for row in rows:
        if all(name in row for name in ANSWERS):
            answers = sum(len(row[name]) for name in ANSWERS)
            shared += len(row["prompt_ids"]) + answers
            unshared += 2 * len(row["prompt_ids"]) + answers
    return Saving(shared, unshared)
