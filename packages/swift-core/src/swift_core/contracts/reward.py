"""Rewards: what an answer is worth, and its steps."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class InferRequest:
    """A prompt and what the model answered."""

    messages: Sequence[Mapping[str, Any]]
    """The conversation, the answer included as its last message when it was a chat."""

    response: str
    """The answer alone, as text."""


@dataclass(frozen=True, slots=True)
class RewardInputs:
    """What core has to offer to rewards of either dialect."""

    infer_requests: Sequence[InferRequest]
    ground_truths: Sequence[str | None]
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)


FailureKind = Literal["timeout", "crash", "flood", "memory", "network", "error"]
"""Why an answer could not be scored. `error` is an exception of the reward's own."""

RewardScope = Literal["sample", "group", "batch"]
"""What a score depends on: its own row, the answers to the same prompt, or all rows of the call.

A reward says it with the class variable `scope`. One that does not is called with whole batches, to be safe, and loses
more time when it hangs.
"""


@dataclass(frozen=True, slots=True)
class RewardFailure:
    """An answer that could not be scored, which is neither the score 0 nor an abstention."""

    kind: FailureKind
    message: str


class RewardScores(list["float | None"]):
    """One score per answer, None where the reward abstains or failed; `failures` tells which."""

    def __init__(
        self,
        scores: Sequence[float | None],
        failures: Mapping[int, RewardFailure] | None = None,
        steps: Sequence[Sequence[float] | None] = (),
        unasked: Collection[int] = (),
    ) -> None:
        """Make the scores of a batch.

        Args:
            scores: One for each answer.
            failures: By the place of the answer.
            steps: Of a process reward, what it said of the steps of each answer; empty elsewhere.
            unasked: Places of the answers that it was not asked about, for the run file leaves their rows out.
        """
        super().__init__(scores)
        self.failures: Mapping[int, RewardFailure] = failures or {}
        self.steps = steps
        self.unasked = frozenset(unasked)


_reported: ContextVar[dict[int, RewardFailure] | None] = ContextVar("reported", default=None)


def report_failure(row: int, kind: FailureKind, message: str) -> None:
    """Say that the answer in `row` could not be scored, for which the reward returns None.

    Core counts it and leaves the answer out of the advantage. Outside of a run it is a warning in the log.
    """
    reported = _reported.get()
    if reported is None:
        _logger.warning("row %d could not be scored (%s): %s", row, kind, message)
    else:
        reported[row] = RewardFailure(kind, message)


@contextmanager
def failures_reported() -> Iterator[dict[int, RewardFailure]]:
    """Collect what `report_failure` is told inside the block."""
    found: dict[int, RewardFailure] = {}
    token = _reported.set(found)
    try:
        yield found
    finally:
        _reported.reset(token)


class OutcomeReward(Protocol):
    """A `swift.orms` plugin, built from its options. One float per answer; None abstains.

    Either dialect: `(infer_requests, ground_truths, **columns)` or `(completions, **columns)`.

    It may have `extract(response: str) -> str | None`: what a response takes for its answer, spelled alike where it
    means the same, None where it answers nothing. `swift sample --select majority` counts by it.

    It may have `read_truth(truth) -> str`: what a ground truth is taken to say, or a ValueError when it cannot be read.
    `swift rewards lint` shows it.
    """

    def __call__(
        self, infer_requests: Sequence[InferRequest], ground_truths: Sequence[str], /
    ) -> Sequence[float | None]:
        """Return one score per answer; raise for data that is broken, never for an answer that is wrong."""


class ProcessReward(Protocol):
    """A `swift.prms` plugin, built from its options: one float per answer, or one per step of it.

    None for an answer abstains, and so does an answer without steps. It may ask for `ground_truths` and columns as an
    outcome reward does, and says by `scope` what a score depends on. Core makes one score of the steps (`aggregate` in
    the run file).
    """

    def __call__(self, infer_requests: Sequence[InferRequest], /) -> Sequence[float | Sequence[float] | None]:
        """Return the scores; raise for data that is broken, never for steps that are wrong."""
