"""Final number: 1 when the last number in the answer equals the expected one, else 0.

    score = 1 if |last number of response - number of ground truth| <= tolerance else 0

The scoring rule of GSM8K: Cobbe et al., 2021, arXiv:2110.14168. Numbers are decimals, compared exactly; what stands in
`<think>` does not count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from swift_core.plugin_api import require_nonnegative
from swift_reward_zoo._batch import check_lengths, shown, truth_text
from swift_reward_zoo.answer._extract import after_hashes, after_thinking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?|\.\d+"
_NUMBER = re.compile(rf"(?<![A-Za-z0-9_.)])([-\u2212]?)[ ]?\\?[$\u20ac\u00a3\u00a5]?((?<![\d.]){_DIGITS})")
_TAIL = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalNumber:
    """Whether the last number of a response is the expected one: 1.0 or 0.0."""

    tolerance: float = 0.0
    """Largest absolute difference that still counts as equal, >= 0."""

    marker: str = ""
    """What the number must follow, such as `####`: the first number after its last occurrence; empty for none."""

    def __post_init__(self) -> None:
        """Check the options."""
        require_nonnegative(tolerance=self.tolerance)

    def __call__(self, infer_requests: Sequence[InferRequest], ground_truths: Sequence[str | None]) -> list[float]:
        """Return 1.0 where the last number of the response is the expected one, else 0.0; no number scores 0.0.

        Raises:
            ValueError: A ground truth is no number, or there are not as many as responses.
        """
        check_lengths("final_number", infer_requests, {"ground_truths": ground_truths})
        golds = [_expected(row, truth) for row, truth in enumerate(ground_truths)]
        return [self._score(request.response, gold) for request, gold in zip(infer_requests, golds, strict=True)]

    def extract(self, response: str) -> str | None:
        """Return the last number of the response in one spelling; None without one."""
        number = self._final(after_thinking(response))
        return None if number is None else _spelled(number)

    def read_truth(self, truth: object) -> str:
        """Return the number that a ground truth is; raise ValueError when it is none."""
        return _spelled(_expected(0, truth))

    def _score(self, response: str | None, gold: Decimal) -> float:
        number = self._final(after_thinking(response or ""))
        if number is None:
            return 0.0
        return float(number == gold or abs(number - gold) <= Decimal(str(self.tolerance)))

    def _final(self, text: str) -> Decimal | None:
        if not self.marker:
            return _last_number(text)
        _, marker, rest = text.rpartition(self.marker)
        found = _NUMBER.search(rest) if marker else None
        return _value(found) if found else None


def _last_number(text: str) -> Decimal | None:
    """Return the last number; the last lines are searched first, since no number crosses the end of a line."""
    last_lines = text.rfind("\n", 0, max(len(text) - _TAIL, 0)) + 1
    for start in (last_lines, 0) if last_lines else (0,):
        found = None
        for found in _NUMBER.finditer(text, start):  # noqa: B007 - the last one is wanted
            pass
        if found:
            return _value(found)
    return None


def _value(found: re.Match[str]) -> Decimal:
    """Return the exact value of a number; `Decimal` reads any length in linear time."""
    return Decimal(("-" if found[1] else "") + found[2].replace(",", ""))


def _spelled(number: Decimal) -> str:
    """Return `1` for 1.0 and 1e0; a zero has no sign."""
    text = format(number, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def _expected(row: int, truth: object) -> Decimal:
    """Return the number that a ground truth is, or that follows its `####`."""
    text = truth_text(row, truth)
    marked = (after_hashes(text) or text).strip().rstrip(".")
    found = _NUMBER.fullmatch(marked)
    if not found:
        raise ValueError(f"ground truth of row {row} is no number: {shown(truth)}")
    return _value(found)
