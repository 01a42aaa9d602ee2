"""Rewards that score some rows alone: those whose columns have certain values (`when`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.contracts.reward import RewardInputs, RewardScores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def is_asked(when: Mapping[str, Any], columns: Mapping[str, Sequence[Any]], index: int) -> bool:
    """Say whether row `index` has the values of `when` in its columns."""
    return all(
        column in columns and columns[column][index] in (values if isinstance(values, list) else [values])
        for column, values in when.items()
    )


def chosen(inputs: RewardInputs, rows: Sequence[int]) -> RewardInputs:
    """Return `rows` of `inputs`."""

    def pick(values: Sequence[Any]) -> list[Any]:
        return [values[row] for row in rows]

    columns = {name: pick(values) for name, values in inputs.columns.items()}
    return RewardInputs(pick(inputs.infer_requests), pick(inputs.ground_truths), columns)


def scattered(scores: RewardScores, rows: Sequence[int], inputs: RewardInputs) -> RewardScores:
    """Return the scores of `rows` among those of all `inputs`."""
    count = len(inputs.infer_requests)
    place = dict(zip(rows, range(len(rows)), strict=True))
    steps = [scores.steps[place[i]] if i in place else None for i in range(count)] if scores.steps else ()
    return RewardScores(
        [scores[place[index]] if index in place else None for index in range(count)],
        {rows[index]: failure for index, failure in scores.failures.items()},
        steps,
        set(range(count)) - set(rows),
    )


def nothing(inputs: RewardInputs) -> RewardScores:
    """Return the scores of a reward that was asked about none of `inputs`."""
    count = len(inputs.infer_requests)
    return RewardScores([None] * count, unasked=range(count))
