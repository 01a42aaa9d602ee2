"""Ground truths as rewards read them: what `swift rewards lint` shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from swift_core.assemble.data.read import read_data
from swift_core.assemble.data.rows import Mistakes
from swift_core.assemble.rewards import AdaptedReward, build_rewards
from swift_core.contracts.reward import InferRequest, RewardInputs
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from swift_core.assemble.data.rows import Item
    from swift_core.contracts.handover import RewardPart, RunPlan

_TRUTHS = {"ground_truths", "ground_truth", "solution"}


@dataclass(frozen=True, slots=True)
class Truth:
    """One ground truth under one reward."""

    item: Item
    reward: str
    written: str
    read: str | None
    """What it is taken to say; None where the reward does not tell."""

    score: float | None
    """Of the ground truth as an answer; None where the reward abstains."""

    refused: str = ""
    """Why the reward cannot read it; empty when it can."""


def reading_rewards(plan: RunPlan) -> tuple[list[RewardPart], list[str]]:
    """Return the outcome rewards that need ground truths, and the names of the others.

    Raises:
        SwiftError: None of the rewards does, or one cannot be built.
    """
    rewards = build_rewards(replace(plan, prms=()))
    reading = [part for part in rewards if _needs_truths(cast("AdaptedReward", part.score))]
    if not reading:
        message = "No reward of reward.orms reads ground truths: there is nothing to check."
        place = plan.config.place("reward.orms")
        raise SwiftError(Problem("missing-key", message, place, "write reward: {orms: [math]}"))
    return reading, [part.name for part in rewards if part not in reading]


def read_truths(plan: RunPlan, rewards: Sequence[RewardPart]) -> Iterator[Truth]:
    """Yield every ground truth of the data under every reward, row by row.

    Raises:
        SwiftError: The data cannot be read.
    """
    data = read_data(plan)
    for item in (*data.train, *data.held_out):
        for part in rewards:
            yield _truth(item, part.name, cast("AdaptedReward", part.score))


def refusals(truths: Sequence[Truth]) -> None:
    """Raise SwiftError with the rows whose ground truth was refused; do nothing when none was."""
    mistakes = Mistakes()
    for truth in truths:
        if truth.refused:
            message = f"The reward {truth.reward!r} cannot read the ground truth: {truth.refused}."
            step = "mend the row, or leave it out; data.columns names the column: {ground_truth: answer}"
            mistakes.add("ground-truth", message, truth.item.row.place, step)
    mistakes.raise_any()


def _needs_truths(reward: AdaptedReward) -> bool:
    return reward.asks_truths or bool(_TRUTHS & set(reward.required))


def _truth(item: Item, name: str, reward: AdaptedReward) -> Truth:
    truth = item.record.ground_truth
    written = "" if truth is None else str(truth)
    if truth is None:
        return Truth(item, name, written, None, None, "the row has none")
    teller: Any = getattr(reward.reward, "read_truth", None)
    request = InferRequest(messages=[], response=written)
    inputs = RewardInputs([request], [truth], {key: [value] for key, value in item.record.columns.items()})
    try:
        read = None if teller is None else teller(truth)
        return Truth(item, name, written, read, reward.score(inputs)[0])
    except ValueError as error:
        return Truth(item, name, written, None, None, str(error).removeprefix("ground truth of row 0 ").rstrip("."))
