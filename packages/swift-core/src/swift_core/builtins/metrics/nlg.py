"""Overlap of answers with the data's own: ROUGE-1, ROUGE-2, ROUGE-L, and BLEU.

    ROUGE-N   F1 of matched n-grams, each counted as often as both texts have it
    ROUGE-L   F1 of the longest common subsequence of tokens: 2 P R / (P + R), P = LCS / answer, R = LCS / expected

Lin, 2004, "ROUGE: a package for automatic evaluation of summaries", sections 2 and 3.1, with beta = 1; means over rows.
Tokens are runs of letters and digits in lower case, and each character of Chinese, Japanese and Korean text. An empty
answer scores 0. BLEU is that of the package sacrebleu, of the whole set, in [0, 100]: Post, 2018, arXiv:1804.08771.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.contracts.metric import Generations

_SINGLE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_TOKEN = re.compile(rf"[{_SINGLE}]|[^\W_{_SINGLE}]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Nlg:
    """Compares answers to held-out prompts with the expected ones, by words in common."""

    bleu: bool = False
    """Whether BLEU is measured too; needs sacrebleu: pip install 'swift-core[nlg]'."""

    tokenize: Literal["13a", "intl", "zh", "char"] = "13a"
    """How sacrebleu cuts texts into tokens."""

    eats: ClassVar[Literal["generations"]] = "generations"

    def __post_init__(self) -> None:
        if self.bleu and importlib.util.find_spec("sacrebleu") is None:
            raise ValueError("bleu needs the package sacrebleu: pip install 'swift-core[nlg]'")

    def compute(self, evaluation: Generations, /) -> dict[str, float]:
        """Return the figures over rows that have an expected answer; raise ValueError when none has."""
        rows = zip(evaluation.infer_requests, evaluation.expected, strict=True)
        pairs = [(request.response, expected) for request, expected in rows if expected is not None]
        if not pairs:
            raise ValueError("nlg needs held-out rows with an expected answer (a completion, or a chosen one)")
        scores = [rouge(tokens(answer), tokens(expected)) for answer, expected in pairs]
        figures = {name: sum(score[name] for score in scores) / len(scores) for name in scores[0]}
        return figures | (self._bleu(pairs) if self.bleu else {})

    def _bleu(self, pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
        sacrebleu: Any = importlib.import_module("sacrebleu")  # an extra: types are not there without it
        answers, expected = [answer for answer, _ in pairs], [text for _, text in pairs]
        return {"bleu": float(sacrebleu.corpus_bleu(answers, [expected], tokenize=self.tokenize).score)}


def tokens(text: str) -> list[str]:
    """Return the tokens that ROUGE counts."""
    return _TOKEN.findall(text.lower())


def rouge(answer: Sequence[str], expected: Sequence[str]) -> dict[str, float]:
    """Return `rouge1`, `rouge2` and `rougeL` of two token lists, each in [0, 1]."""
    figures = {}
    for n in (1, 2):
        ours, theirs = _grams(answer, n), _grams(expected, n)
        figures[f"rouge{n}"] = _f1((ours & theirs).total(), ours.total(), theirs.total())
    return figures | {"rougeL": _f1(_common_subsequence(answer, expected), len(answer), len(expected))}


def _grams(text: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(text[start : start + n]) for start in range(len(text) - n + 1))


def _f1(matched: int, num_ours: int, num_theirs: int) -> float:
    return 2 * matched / (num_ours + num_theirs) if matched else 0.0


def _common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, in one row of memory."""
    row = [0] * (len(second) + 1)
    for token in first:
        diagonal = 0
        for place, other in enumerate(second, start=1):
            above = row[place]
            row[place] = diagonal + 1 if token == other else max(above, row[place - 1])
            diagonal = above
    return row[-1]
