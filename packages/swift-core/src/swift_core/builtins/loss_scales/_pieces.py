"""Answers cut where patterns match."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

Weights = Mapping[str, float | Sequence[float]]
"""Pattern -> its weight, or [weight of the pattern, weight of the text after it up to the next such pattern]."""


def weighed(text: str, marks: Weights, patterns: Weights) -> tuple[list[str], list[float]]:
    """Cut `text` and weigh the pieces.

    Args:
        text: An answer.
        marks: Plain texts, each with the weight of itself and of what follows it up to the next mark.
        patterns: Regular expressions, each with the weight of what it matches (`.` matches line breaks).

    Returns:
        The pieces, which joined are `text` again, and their weights; text that nothing matches weighs 1.
    """
    weights = [1.0] * len(text)
    for start, end, weight in (*_after_marks(text, marks), *_matches(text, patterns)):
        weights[start:end] = [weight] * (end - start)
    return _runs(text, weights)


def _after_marks(text: str, marks: Weights) -> Iterator[tuple[int, int, float]]:
    if not marks:
        return
    longest_first = sorted(marks, key=len, reverse=True)
    found = list(re.finditer("|".join(map(re.escape, longest_first)), text))
    ends = [*(match.start() for match in found), len(text)]
    for match, end in zip(found, ends[1:], strict=True):
        own, after = _pair(marks[match.group()])
        yield match.start(), match.end(), own
        yield match.end(), end, after


def _matches(text: str, patterns: Weights) -> Iterator[tuple[int, int, float]]:
    for pattern, weight in patterns.items():
        for match in re.finditer(pattern, text, re.DOTALL):
            yield match.start(), match.end(), _pair(weight)[0]


def _pair(weight: float | Sequence[float]) -> tuple[float, float]:
    if isinstance(weight, int | float):
        return float(weight), float(weight)
    own, after = weight
    return float(own), float(after)


def _runs(text: str, weights: Sequence[float]) -> tuple[list[str], list[float]]:
    starts = [index for index in range(len(text)) if index == 0 or weights[index] != weights[index - 1]]
    ends = [*starts[1:], len(text)]
    if not text:
        return [text], [1.0]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)], [weights[start] for start in starts]
