"""What becomes of answers that a reward fails on: counted, told, masked or zero, and above a rate the run stops."""

from __future__ import annotations

import logging
import traceback
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from swift_core.contracts.reward import FailureKind, RewardFailure, RewardScores
from swift_core.errors import Place, Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_logger = logging.getLogger(__name__)

_JUDGED_FROM = 20
"""Answers from which on a rate means something; a call in which every answer fails is judged before."""


KINDS: tuple[FailureKind, ...] = get_args(FailureKind)

_decided_later: ContextVar[bool] = ContextVar("decided_later", default=False)


@contextmanager
def decided_later() -> Iterator[None]:
    """Let failures inside the block be counted and masked, and leave it to `decide` whether the run stops for them."""
    token = _decided_later.set(True)
    try:
        yield
    finally:
        _decided_later.reset(token)


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """The settings `reward.on_error` and `reward.max_failure_rate`, and where a reward stands in the run file."""

    on_error: Literal["raise", "mask", "zero"] = "raise"
    max_failure_rate: float = 0.05
    place: Place | None = None
    next_step: str = ""
    look: str = ""
    """The command that shows what the reward is: what helps where its answer is wrong and nothing kept it from one."""

    brought_by: str = ""
    """The wheel or file that the reward is of: ` of acme-rewards 1.0`; empty when it is not known."""

    def called(self, name: str) -> str:
        """Return what messages call a reward."""
        return f"reward {name!r}{self.brought_by}"


@dataclass(slots=True)
class FailureTally:
    """What one reward has failed on so far."""

    num_scored: int = 0
    """Answers it was asked about, failed ones included."""

    kinds: dict[FailureKind, int] = field(default_factory=dict)
    first: str = ""
    """What the first of them was, where this process has seen one."""

    @property
    def num_failed(self) -> int:
        """Answers it failed on."""
        return sum(self.kinds.values())

    def add(self, num_scored: int, failures: Mapping[int, RewardFailure]) -> None:
        """Count one call."""
        self.num_scored += num_scored
        for failure in failures.values():
            self.first = self.first or failure.message
            self.kinds[failure.kind] = self.kinds.get(failure.kind, 0) + 1

    def exceeds(self, rate: float) -> bool:
        """Say whether more than `rate` of the answers failed.

        A pure function of the counts: ranks that add their counts up decide alike.
        """
        judged = self.num_scored >= _JUDGED_FROM or self.num_failed == self.num_scored
        return judged and self.num_failed > rate * self.num_scored

    def __str__(self) -> str:
        return ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))


def counts_of(tallies: Sequence[FailureTally]) -> list[list[float]]:
    """Return a row for each reward: answers scored, then failures by the order of `KINDS`. Rows of ranks add up."""
    return [[float(tally.num_scored), *(float(tally.kinds.get(kind, 0)) for kind in KINDS)] for tally in tallies]


def tally_of(counts: Sequence[float]) -> FailureTally:
    """Return what a row of `counts_of` counted."""
    scored, *failed = counts
    return FailureTally(int(scored), {kind: int(n) for kind, n in zip(KINDS, failed, strict=True) if n})


def decide(name: str, policy: FailurePolicy, tally: FailureTally) -> Problem | None:
    """Return why the run stops for what a reward has failed on, None when it goes on.

    A pure function of the counts: ranks that give it the sums over all of them decide alike.
    """
    if not tally.num_failed:
        return None
    told = f"{policy.called(name)} failed on {tally.num_failed} of {tally.num_scored} answers ({tally}"
    told += f"; the first: {tally.first})" if tally.first else ")"
    if policy.on_error == "raise":
        return _problem(f"{told}, and reward.on_error is raise.", policy)
    if tally.exceeds(policy.max_failure_rate):
        return _problem(f"{told}, and reward.max_failure_rate is {policy.max_failure_rate:g}.", policy)
    return None


def settled(
    name: str,
    scores: Sequence[float | None],
    failures: Mapping[int, RewardFailure],
    policy: FailurePolicy,
    tally: FailureTally,
) -> RewardScores:
    """Return the scores of a call after its failures were dealt with.

    Raises:
        SwiftError: The policy is to raise, or too many answers have failed by now.
    """
    tally.add(len(scores), failures)
    if not failures:
        return RewardScores(scores)
    row, first = min(failures.items())
    told = (
        f"{policy.called(name)} failed on {len(failures)} of {len(scores)} answers; "
        f"the first, answer {row}: {first.message}"
    )
    _logger.warning("%s (%s)", told, first.kind)
    if _decided_later.get():
        return _masked(scores, failures, policy)
    if policy.on_error == "raise":
        raise _stopped(f"{told} ({first.kind}).", policy)
    if tally.exceeds(policy.max_failure_rate):
        so_far = f"{tally.num_failed} of {tally.num_scored} so far ({tally})"
        limit = f"and reward.max_failure_rate is {policy.max_failure_rate:g}"
        raise _stopped(f"{told} ({first.kind}); {so_far}, {limit}.", policy)
    return _masked(scores, failures, policy)


def _masked(
    scores: Sequence[float | None], failures: Mapping[int, RewardFailure], policy: FailurePolicy
) -> RewardScores:
    instead = 0.0 if policy.on_error == "zero" else None
    return RewardScores([instead if i in failures else score for i, score in enumerate(scores)], failures)


def failure_of(error: Exception) -> RewardFailure:
    """Return what an exception in a reward means."""
    kinds: dict[type[Exception], FailureKind] = {
        TimeoutError: "timeout",
        ConnectionError: "network",
        MemoryError: "memory",
    }
    known = [kind for cls, kind in kinds.items() if isinstance(error, cls)]
    kind: FailureKind = known[0] if known else "error"
    where = traceback.extract_tb(error.__traceback__)[-1:]
    place = f" ({where[0].filename}:{where[0].lineno})" if where else ""
    return RewardFailure(kind, " ".join(f"{type(error).__name__}: {error}".split()) + place)


def _stopped(message: str, policy: FailurePolicy) -> SwiftError:
    return SwiftError(_problem(message, policy))


def _problem(message: str, policy: FailurePolicy) -> Problem:
    return Problem("reward-failed", message, policy.place, policy.next_step)
