r"""Mathematical correctness: 1.0 when the final answer of a response is the expected one, else 0.0.

The final answer is the last `\boxed{...}`; without a box the last `<answer>`, `#### N`, "answer is" or number. Numbers
are compared exactly, without SymPy; only what is left goes to math-verify (LaTeX to SymPy), in a confined process
that is killed when it takes longer than `timeout`. The rule of GSM8K: Cobbe et al., 2021, arXiv:2110.14168; of MATH:
Hendrycks et al., 2021, arXiv:2103.03874.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from swift_core.plugin_api import WorkerFailure, report_failure, require_positive
from swift_reward_zoo.answer import _compare
from swift_reward_zoo.answer._extract import expected_answer, final_answer
from swift_reward_zoo.answer._symbolic import spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Math:
    """Whether the final answer of a response is the expected one: 1.0 or 0.0."""

    timeout: float = 5.0
    """Seconds that one comparison may take, > 0; an answer that takes longer is not scored and counts as failed."""

    scope: ClassVar[str] = "sample"
    own_sandbox: ClassVar[bool] = True

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
        golds = spread(self._read_gold, list(enumerate(ground_truths)))
        responses = [request.response for request in infer_requests]
        scores = spread(self._score, list(zip(responses, golds, strict=True)))
        for row, score in enumerate(scores):
            if isinstance(score, WorkerFailure):
                report_failure(row, score.kind, f"comparing by computer algebra: {score.message}")
        return [None if isinstance(score, WorkerFailure) else score for score in scores]

    def extract(self, response: str) -> str | None:
        """Return the final answer in one spelling for what is the same number, list or name; None without one."""
        written = final_answer(response)
        return None if written is None else _compare.spelling(_compare.read_given(written)) or None

    def read_truth(self, truth: object) -> str:
        """Return what a ground truth is taken to say; raise ValueError when it does not parse."""
        gold = self._read_gold((0, truth))
        return gold.text if gold.number is None else _compare.spelling(gold)

    def _read_gold(self, numbered: tuple[int, object]) -> _compare.Answer:
        """Return the expected answer of a row, checked to be readable."""
        row, truth = numbered
        if not isinstance(truth, (str, int, float)) or isinstance(truth, bool):
            raise ValueError(f"ground truth of row {row} is {truth!r}, not an answer")
        try:
            return _compare.read_expected(expected_answer(str(truth)), self.timeout)
        except (ValueError, WorkerFailure) as error:
            shown = str(truth) if len(str(truth)) <= 80 else f"{str(truth)[:77]}..."
            raise ValueError(f"ground truth of row {row} does not parse: {shown!r} ({error})") from None

    def _score(self, pair: tuple[str | None, _compare.Answer]) -> float | WorkerFailure:
        response, gold = pair
        written = final_answer(response) if response else None
        if written is None:
            return 0.0
        try:
            return float(_compare.same_answer(gold, _compare.read_given(written), self.timeout))
        except WorkerFailure as failure:
            return failure
