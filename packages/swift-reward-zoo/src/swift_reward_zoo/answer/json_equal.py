"""JSON equality: 1 when the answer holds the expected JSON value, else 0.

    score = 1 if last JSON value of response == JSON of ground truth else 0

The order of keys and white space do not count, numbers are compared exactly (`1.0` is `1`, `true` is not), and an
object that names a key twice is no answer. RFC 8259.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_reward_zoo._batch import check_lengths, shown
from swift_reward_zoo._json import NoJSONError, canonical, find_json, parse_json
from swift_reward_zoo.answer._extract import stated_answer

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from swift_core.plugin_api import InferRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonEqual:
    """Whether the JSON of the answer is the expected one: 1.0 or 0.0."""

    ignore_order: bool = False
    """True compares arrays as bags: with the same items in any order."""

    def __call__(self, infer_requests: Sequence[InferRequest], ground_truths: Sequence[Any]) -> list[float]:
        """Return 1.0 where the JSON is the expected one, else 0.0; a response without JSON scores 0.0.

        Raises:
            ValueError: A ground truth is not JSON, or there are not as many as responses.
        """
        check_lengths("json_equal", infer_requests, {"ground_truths": ground_truths})
        golds = [self._expected(row, truth) for row, truth in enumerate(ground_truths)]
        return [
            float(self._given(request.response or "") == gold)
            for request, gold in zip(infer_requests, golds, strict=True)
        ]

    def _given(self, response: str) -> Hashable:
        try:
            return canonical(find_json(stated_answer(response)), ignore_order=self.ignore_order)
        except NoJSONError:
            return None

    def _expected(self, row: int, truth: object) -> Hashable:
        """Return the key of a ground truth, which is text, or an object or array as a data set may hold one."""
        try:
            value = parse_json(truth) if isinstance(truth, str) else truth
            if value is None and truth is None:
                raise NoJSONError("there is none")
            return canonical(value, ignore_order=self.ignore_order)
        except NoJSONError as error:
            raise ValueError(f"ground truth of row {row} is not JSON: {shown(truth)} ({error})") from None
