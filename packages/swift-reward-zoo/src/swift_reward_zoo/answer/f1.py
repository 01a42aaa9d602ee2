"""Token F1: how many words the answer and the expected text share.

    precision = shared / words of the answer      recall = shared / words of the ground truth
    score     = 2 * precision * recall / (precision + recall), the best over the ground truths of the row

Rajpurkar et al., 2016, arXiv:1606.05250. Words repeat as often as they do; Chinese and other unspaced
writing counts letter by letter.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from swift_reward_zoo._batch import check_lengths, truth_texts
from swift_reward_zoo._words import normalized, words
from swift_reward_zoo.answer._extract import stated_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest

Word = TypeVar("Word")


@dataclass(frozen=True, slots=True, kw_only=True)
class F1:
    """The share of words that answer and expected text have in common, in [0, 1]."""

    def __call__(self, infer_requests: Sequence[InferRequest], ground_truths: Sequence[Any]) -> list[float]:
        """Return the F1 of each answer, the best over its ground truths when there are several.

        Raises:
            ValueError: A ground truth is neither a text nor a list of texts, or there are not as many as responses.
        """
        check_lengths("f1", infer_requests, {"ground_truths": ground_truths})
        golds = [[_words(one) for one in truth_texts(row, truth)] for row, truth in enumerate(ground_truths)]
        return [
            max(_share(given, one) for one in gold)
            for given, gold in zip(map(_given, infer_requests), golds, strict=True)
        ]


def f1(given: Counter[Word], expected: Counter[Word]) -> float:
    """Return the harmonic mean of precision and recall of two bags of words; 0.0 when they share none."""
    shared = sum(min(count, given[word]) for word, count in expected.items())  # far fewer than in `given`
    return 2 * shared / (given.total() + expected.total()) if shared else 0.0


def _given(request: InferRequest) -> list[str]:
    return words(normalized(stated_answer(request.response or "")))


def _share(given: list[str], expected: Counter[str]) -> float:
    """Return the F1 of the words of an answer, of which only the expected ones are counted."""
    shared = (Counter(filter(expected.__contains__, given)) & expected).total()
    return 2 * shared / (len(given) + expected.total()) if shared else 0.0


@lru_cache(maxsize=4096)
def _words(text: str) -> Counter[str]:
    """Return the words of a ground truth, which stands beside each of a group of answers."""
    return Counter(words(normalized(text)))
