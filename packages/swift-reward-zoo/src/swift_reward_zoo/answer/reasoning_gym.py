"""Reasoning gym: 1 when the task's own scorer gives an answer full marks, else 0.

    score = 1 if score_answer(answer, entry) >= 1 else 0, or with `partial` what it gives, within [0, 1]

Rows are those of reasoning-gym: the columns `answer` and `metadata`, whose `source_dataset` names the task. The answer
is the last `<answer>` tag, else what follows the thinking. Scorers run in confined processes that are killed when they
take longer than `timeout`; tasks whose scorers run answers as code or pay for wrong ones are refused. Stojanovski et
al., 2025, "Reasoning Gym", arXiv:2505.24760. Needs the package: pip install 'swift-reward-zoo[reasoning_gym]'.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.plugin_api import WorkerFailure, WorkerPool, report_failure, require_positive
from swift_reward_zoo._batch import check_lengths, shown
from swift_reward_zoo.answer._extract import stated_answer
from swift_reward_zoo.answer._reasoning_gym_tasks import REFUSED, SOUND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest

POOL = WorkerPool("swift_reward_zoo.answer._reasoning_gym_child:make")
"""The workers of every `reasoning_gym` in this process; none runs until there is something to score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningGym:
    """Whether an answer solves its task of reasoning-gym: 1.0 or 0.0, or the task's partial marks."""

    partial: bool = False
    """True pays the task's partial marks, some of which any text earns; False pays for full marks alone."""

    timeout: float = 10.0
    """Seconds that one answer may take to score, > 0; one that takes longer is not scored and counts as failed."""

    scope: ClassVar[str] = "sample"
    own_sandbox: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the options, and that the package is there; it is not imported here."""
        require_positive(timeout=self.timeout)
        if find_spec("reasoning_gym") is None:
            raise ValueError("reasoning_gym needs reasoning-gym: pip install 'swift-reward-zoo[reasoning_gym]'")

    def __call__(
        self,
        infer_requests: Sequence[InferRequest],
        *,
        metadata: Sequence[Any],
        answer: Sequence[Any] | None = None,
        ground_truth: Sequence[Any] | None = None,
    ) -> list[float | None]:
        """Return the scores; an answer that its task's scorer cannot score in time has None.

        Args:
            infer_requests: The answers.
            metadata: The entry's `metadata`, an object or JSON.
            answer: The entry's `answer`; without this column it is the ground truth.
            ground_truth: The same.

        Raises:
            ValueError: A row is no entry of reasoning-gym, or of a task that is refused.
        """
        truths = answer if answer is not None else ground_truth
        check_lengths("reasoning_gym", infer_requests, {"metadata": metadata, "answer": truths})
        if truths is None:
            if infer_requests:
                raise ValueError("reasoning_gym needs a column `answer`, or ground truths, and the data has neither")
            return []
        items = [
            _item(row, request.response or "", told, truth)
            for row, (request, told, truth) in enumerate(zip(infer_requests, metadata, truths, strict=True))
        ]
        asked = [row for row, item in enumerate(items) if item["answer"]]
        scores: list[float | None] = [0.0] * len(items)
        for row, given in zip(asked, POOL.map([items[row] for row in asked], self.timeout), strict=True):
            if isinstance(given, WorkerFailure):
                report_failure(row, given.kind, f"the scorer of {items[row]['task']}: {given.message}")
            scores[row] = None if isinstance(given, WorkerFailure) else self._marks(given)
        return scores

    def _marks(self, score: float) -> float:
        return min(max(score, 0.0), 1.0) if self.partial else float(score >= 1.0)


def _item(row: int, response: str, metadata: object, truth: object) -> dict[str, Any]:
    """Return what a worker is asked of a row."""
    entry = _mapping(row, metadata)
    task = entry.get("source_dataset")
    if not isinstance(task, str):
        raise ValueError(f"metadata of row {row} names no task in source_dataset: {shown(metadata)}")
    if task not in SOUND:
        reason = REFUSED.get(task, "it is no task that was looked at, of reasoning-gym 0.1.25")
        raise ValueError(f"row {row} is of the task {task!r}, which is not scored: {reason}")
    if not isinstance(truth, str) or not truth.strip():
        raise ValueError(f"answer of row {row} is {shown(truth)}, not an answer of reasoning-gym")
    return {"task": task, "answer": stated_answer(response), "entry": {"answer": truth, "metadata": dict(entry)}}


def _mapping(row: int, metadata: object) -> Mapping[str, Any]:
    try:
        value = json.loads(metadata) if isinstance(metadata, str) else metadata
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, Mapping):
        raise ValueError(f"metadata of row {row} is {shown(metadata)}, not that of an entry of reasoning-gym")
    return value
