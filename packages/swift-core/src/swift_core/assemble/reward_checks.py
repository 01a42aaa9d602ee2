"""Whether the data has what rewards ask for, told before a model is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from swift_core.assemble.rewards import columns_of
from swift_core.assemble.routing import chosen, is_asked
from swift_core.contracts.reward import InferRequest, RewardInputs
from swift_core.errors import Problem, SwiftError
from swift_core.plugins.policy import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swift_core.assemble.rewards import AdaptedReward
    from swift_core.contracts.data import PromptRow, Record
    from swift_core.contracts.handover import PartPlan, RewardPart, RunPlan

_SHOWN = 8
"""Values of a column that a message names."""


def check_rewards(plan: RunPlan, rewards: Sequence[RewardPart], records: Sequence[Record]) -> None:
    """Raise SwiftError, before a model is loaded, when the rows lack what a reward asks for."""
    prompts = [record for record in records if record.prompt is not None]
    _check(plan, rewards, [record.ground_truth for record in prompts], columns_of(prompts))


def check_prompt_rows(plan: RunPlan, rewards: Sequence[RewardPart], rows: Sequence[PromptRow]) -> None:
    """Raise SwiftError, before a model is loaded, when the rows that are trained on lack what a reward asks for."""
    names = sorted({name for row in rows for name in row["columns"]})
    columns = {name: [row["columns"].get(name) for row in rows] for name in names}
    _check(plan, rewards, [row["ground_truth"] for row in rows], columns)


def _check(
    plan: RunPlan, rewards: Sequence[RewardPart], truths: Sequence[str | None], columns: Mapping[str, Sequence[Any]]
) -> None:
    if not truths:
        return  # no rows are judged, so none lacks anything
    inputs = RewardInputs([InferRequest(messages=[], response="") for _ in truths], truths, columns)
    pairs = list(zip(plan.rewards, rewards, strict=True))
    lacks = [
        problem for part, reward in pairs if (problem := _lack(plan, part, cast("AdaptedReward", reward.score), inputs))
    ]
    if lacks:
        raise SwiftError(lacks)


def _lack(plan: RunPlan, part: PartPlan, reward: AdaptedReward, inputs: RewardInputs) -> Problem | None:
    """Return what `reward` asks for and `inputs` do not have; None when nothing."""
    if problem := _unrouted(plan, part, reward.name, inputs):
        return problem
    asked = [row for row in range(len(inputs.infer_requests)) if is_asked(reward.when, inputs.columns, row)]
    try:
        reward.check(chosen(inputs, asked))
    except ValueError as error:
        (problem,) = reward.refused(error, "reward-data", "name it in data.columns: {ground_truth: answer}").problems
        return problem
    return None


def _unrouted(plan: RunPlan, part: PartPlan, name: str, inputs: RewardInputs) -> Problem | None:
    """Return why `when` chooses no row: a column that is not there, or a value that no row has in it."""
    for column, values in part.when.items():
        place = plan.config.place(f"{part.key}.when.{column}")
        if column not in inputs.columns:
            known = ", ".join(sorted(inputs.columns)) or "none"
            message = f"reward {name!r} is for rows with a certain {column!r}, and the data has no such column"
            hint = did_you_mean(column, inputs.columns)
            return Problem("reward-when", f"{message}.{hint} Columns: {known}.", place, "name a column of the data")
        for value in values if isinstance(values, list) else [values]:
            if value not in inputs.columns[column]:
                found = ", ".join(sorted({repr(v) for v in inputs.columns[column] if v is not None})[:_SHOWN])
                message = f"reward {name!r} is for rows with {column}: {value}, and no row has that; it has {found}."
                return Problem("reward-when", message, place, "correct the value, or remove the reward")
    return None
