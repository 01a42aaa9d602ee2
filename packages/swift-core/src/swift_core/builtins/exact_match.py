"""Exact match: the share of held-out prompts that are answered just as the data answers them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from swift_core.contracts.metric import Generations


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactMatch:
    """Compares answers letter by letter; only white space at their ends does not count."""

    eats: ClassVar[Literal["generations"]] = "generations"

    def compute(self, evaluation: Generations, /) -> dict[str, float]:
        """Return `exact_match` in [0, 1] over the rows that have an expected answer; raise ValueError when none has."""
        rows = zip(evaluation.infer_requests, evaluation.expected, strict=True)
        matches = [request.response.strip() == expected.strip() for request, expected in rows if expected is not None]
        if not matches:
            raise ValueError("exact_match needs held-out rows with an expected answer (a completion, or a chosen one)")
        return {"exact_match": sum(matches) / len(matches)}
