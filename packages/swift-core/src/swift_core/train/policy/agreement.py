"""What all processes decide alike: whether a run goes on after rewards failed, or one process could not go on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from swift_core.assemble.failures import KINDS, FailureTally, counts_of, decide, tally_of
from swift_core.assemble.rewards import AdaptedReward
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from swift_core.contracts.handover import RewardPart


def agree(error: SwiftError | None, reduce: Callable[[Tensor], Tensor]) -> None:
    """Raise on every process when one of them has an error: its own, or that another one stopped.

    Raises:
        SwiftError: A process has an error.
    """
    stopped = reduce(torch.tensor([0.0 if error is None else 1.0]))
    if error is not None:
        raise error
    if stopped.item():
        message = "another process of this run could not score its answers; it says why."
        raise SwiftError(Problem("other-process", message, next_step="look at what the other processes printed"))


def counted(rewards: Sequence[RewardPart], reduce: Callable[[Tensor], Tensor]) -> dict[str, list[float]]:
    """Return what each reward was asked and has failed on so far, on all processes: rows of `counts_of` by name."""
    judged = _judged(rewards)
    counts = counts_of([reward.tally for _, reward in judged])
    summed = reduce(torch.tensor(counts, dtype=torch.float64)).tolist() if counts else []
    return {name: row for (name, _), row in zip(judged, summed, strict=True)}


def go_on_from(rewards: Sequence[RewardPart], counts: Mapping[str, Sequence[float]]) -> None:
    """Let counts of failures go on from `counts`; a reward that has none there begins with nothing."""
    for name, reward in _judged(rewards):
        tally = tally_of(counts[name]) if name in counts else FailureTally()
        reward.tally.num_scored, reward.tally.kinds = tally.num_scored, tally.kinds


def _judged(rewards: Sequence[RewardPart]) -> list[tuple[str, AdaptedReward]]:
    return [(part.name, part.score) for part in rewards if isinstance(part.score, AdaptedReward)]


def decide_failures(rewards: Sequence[RewardPart], reduce: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """Return how often each reward has failed so far, on all processes, as `failures/NAME/KIND`.

    Raises:
        SwiftError: The run is to stop for it; every process raises the same.
    """
    judged = _judged(rewards)
    if not judged:
        return {}
    summed = [tally_of(row) for row in counted(rewards, reduce).values()]
    tallies = [replace(tally, first=reward.tally.first) for tally, (_, reward) in zip(summed, judged, strict=True)]
    decided = [decide(name, reward.policy, tally) for (name, reward), tally in zip(judged, tallies, strict=True)]
    if problems := [problem for problem in decided if problem]:
        raise SwiftError(problems)
    return {
        f"failures/{name}/{kind}": float(tally.kinds[kind])
        for (name, _), tally in zip(judged, tallies, strict=True)
        for kind in KINDS
        if kind in tally.kinds
    }
