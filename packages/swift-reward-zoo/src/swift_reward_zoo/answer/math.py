r"""Mathematical correctness: 1.0 when the final answer of a response is the expected one, else 0.0.

The final answer is the last `\boxed{...}`; without a box the last `<answer>`, `#### N`, "answer is" or number. Numbers
are compared exactly, without SymPy; only what is left goes to math-verify (LaTeX to SymPy), in a child process that is
killed when it takes longer than `timeout`. The rule of GSM8K: Cobbe et al., 2021, arXiv:2110.14168; of MATH: Hendrycks
et al., 2021, arXiv:2103.03874.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift_core.plugin_api import require_positive
from swift_reward_zoo.answer import _compare
from swift_reward_zoo.answer._extract import expected_answer, final_answer
from swift_reward_zoo.answer._symbolic import TookTooLongError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Math:
    """Whether the final answer of a response is the expected one: 1.0 or 0.0."""

    timeout: float = 5.0
    """Seconds that one comparison may take, > 0; an answer that takes longer is abstained from."""

    def __post_init__(self) -> None:
        """Check the options."""
        require_positive(timeout=self.timeout)

    def __call__(
        self, infer_requests: Sequence[InferRequest], ground_truths: Sequence[str | None]
    ) -> list[float | None]:
        """Return 1.0 for a right answer, 0.0 for a wrong or unreadable one, None for one that took too long to compare.

        Raises:
            ValueError: A ground truth holds no answer that can be read, or there are not as many as responses.
        """
        if len(infer_requests) != len(ground_truths):
            raise ValueError(f"math got {len(infer_requests)} responses but {len(ground_truths)} ground truths")
        golds = [self._read_gold(row, truth) for row, truth in enumerate(ground_truths)]
        return [
            self._score(row, request.response, gold)
            for row, (request, gold) in enumerate(zip(infer_requests, golds, strict=True))
        ]

    def _read_gold(self, row: int, truth: str | None) -> _compare.Answer:
        """Return the expected answer of a row, checked to be readable."""
        if not isinstance(truth, (str, int, float)) or isinstance(truth, bool):
            raise ValueError(f"ground truth of row {row} is {truth!r}, not an answer")
        try:
            return _compare.read_expected(expected_answer(str(truth)), self.timeout)
        except (ValueError, TookTooLongError) as error:
            shown = str(truth) if len(str(truth)) <= 80 else f"{str(truth)[:77]}..."
            raise ValueError(f"ground truth of row {row} does not parse: {shown!r} ({error})") from None

    def _score(self, row: int, response: str | None, gold: _compare.Answer) -> float | None:
        written = final_answer(response) if response else None
        if written is None:
            return 0.0
        try:
            return float(_compare.same_answer(gold, _compare.read_given(written), self.timeout))
        except TookTooLongError:
            _logger.warning("math abstains from row %d: comparing took longer than %g seconds", row, self.timeout)
            return None
