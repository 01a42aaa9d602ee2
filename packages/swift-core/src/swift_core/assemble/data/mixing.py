"""Several data sets as one: which of them the next row is taken from, drawn by seed."""

from __future__ import annotations

import random
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Stop = Literal["first_exhausted", "all_exhausted"]


def interleaved(lengths: Sequence[int], probabilities: Sequence[float], stop: Stop, seed: int) -> Iterator[int]:
    """Yield, row by row, the data set that the row is taken from; each data set is read in its order.

    Args:
        lengths: Rows of each data set, at least one.
        probabilities: How often each is drawn, > 0; they need not sum to 1.
        stop: `first_exhausted` ends when a data set is drawn that has no row left, so that no row is seen twice;
            `all_exhausted` begins such a data set anew, and ends when every row of all was taken once.
        seed: Of what is drawn.
    """
    draw = random.Random(f"interleave {seed}")
    marks = list(accumulate(probabilities))
    taken = [0] * len(lengths)
    while stop == "first_exhausted" or any(done < length for done, length in zip(taken, lengths, strict=True)):
        point = draw.random() * marks[-1]
        chosen = next(index for index, mark in enumerate(marks) if point < mark)
        if stop == "first_exhausted" and taken[chosen] == lengths[chosen]:
            return
        taken[chosen] += 1
        yield chosen


def told(names: Sequence[str], lengths: Sequence[int], taken: Sequence[int], stop: Stop) -> str:
    """Return what mixing does to each data set, in words."""
    total = sum(taken)
    parts = [
        f"{name} {count:,} rows of {length:,} ({count / max(total, 1):.0%})"
        for name, length, count in zip(names, lengths, taken, strict=True)
    ]
    ends = {
        "first_exhausted": "it ends when one has no row left; the others' rest is not trained",
        "all_exhausted": "it ends when all rows were taken; shorter ones begin anew",
    }
    return f"mixed by data.interleave_prob: {', '.join(parts)}; {ends[stop]}"
