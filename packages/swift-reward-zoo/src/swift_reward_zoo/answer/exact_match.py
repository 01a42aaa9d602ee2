"""Exact match: 1 when the answer is the expected text, else 0.

    score = 1 if normalized(answer) is normalized(ground truth), of which a row may have several, else 0

The rule of SQuAD: Rajpurkar et al., 2016, arXiv:1606.05250. The answer is the last `<answer>` of the
response, else all of it after the thinking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from swift_reward_zoo._batch import check_lengths, truth_texts
from swift_reward_zoo._words import normalized
from swift_reward_zoo.answer._extract import stated_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactMatch:
    """Whether the answer is the expected text: 1.0 or 0.0."""

    normalize: Literal["squad", "spaces"] = "squad"
    """`squad` ignores case, punctuation and English articles; `spaces` only white space around and between words."""

    def __call__(self, infer_requests: Sequence[InferRequest], ground_truths: Sequence[Any]) -> list[float]:
        """Return 1.0 where the answer is the expected text, or one of the expected texts, else 0.0.

        Raises:
            ValueError: A ground truth is neither a text nor a list of texts, or there are not as many as responses.
        """
        check_lengths("exact_match", infer_requests, {"ground_truths": ground_truths})
        golds = [{self._key(one) for one in truth_texts(row, truth)} for row, truth in enumerate(ground_truths)]
        return [
            float(self._key(stated_answer(request.response or "")) in gold)
            for request, gold in zip(infer_requests, golds, strict=True)
        ]

    def extract(self, response: str) -> str | None:
        """Return the answer as it is compared; None when nothing is left of it."""
        return self._key(stated_answer(response)) or None

    def read_truth(self, truth: object) -> str:
        """Return the expected texts as they are compared; raise ValueError when there is none."""
        return " | ".join(dict.fromkeys(self._key(one) for one in truth_texts(0, truth)))

    def _key(self, text: str) -> str:
        return normalized(text) if self.normalize == "squad" else " ".join(text.split())
