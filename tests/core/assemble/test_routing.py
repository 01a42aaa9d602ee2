"""Rewards for some rows alone: who is asked about what, and what is refused before a run starts."""

import dataclasses
from pathlib import Path

import pytest

from swift_core.assemble.reward_checks import check_prompt_rows
from swift_core.assemble.rewards import adapt_reward, build_rewards
from swift_core.builtins.orm_accuracy import OrmAccuracy
from swift_core.config.load import parse
from swift_core.contracts.handover import RewardPart
from swift_core.contracts.metric import Generations
from swift_core.contracts.reward import InferRequest, RewardInputs, report_failure
from swift_core.errors import SwiftError
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve


def requests(*responses):
    return [InferRequest(messages=[], response=response) for response in responses]


def inputs(*responses, truths=None, **columns):
    return RewardInputs(requests(*responses), truths or ["4"] * len(responses), columns)


def routed(reward, **when):
    return dataclasses.replace(adapt_reward("r", reward), when=when)


def test_only_rows_with_the_value_are_asked_about_and_scores_stay_with_their_rows():
    seen = []

    def length(completions, level):
        seen.append((completions, level))
        return [float(len(c)) for c in completions]

    reward = routed(length, task=["math", "logic"], hard=True)
    rows = inputs(
        "a", "bb", "ccc", "dddd", task=["math", "code", "logic", "math"], hard=[1, 1, True, 0], level=[*range(4)]
    )
    scores = reward.score(rows)
    assert list(scores) == [1.0, None, 3.0, None]
    assert scores.unasked == {1, 3}
    assert seen == [(["a", "ccc"], [0, 2])]


def test_failures_and_steps_keep_their_rows():
    def steps(completions):
        report_failure(1, "timeout", "late")
        return [[0.5, 1.0], None]

    reward = dataclasses.replace(routed(steps, task="math"), aggregate="mean")
    reward = dataclasses.replace(
        reward, policy=dataclasses.replace(reward.policy, on_error="mask", max_failure_rate=0.9)
    )
    scores = reward.score(inputs("x", "a", "b", task=["code", "math", "math"]))
    assert list(scores) == [None, 0.75, None]
    assert list(scores.failures) == [2]
    assert list(scores.steps) == [None, [0.5, 1.0], None]


def test_a_reward_without_a_row_is_not_called():
    def never(completions):
        raise AssertionError("there is nothing to score")

    scores = routed(never, task="math").score(inputs("a", task=["code"]))
    assert (list(scores), scores.unasked) == ([None], {0})


def test_rows_that_a_reward_is_not_for_are_no_abstentions():
    part = RewardPart("r", 1.0, routed(lambda completions: [1.0] * len(completions), task="math"))
    generations = Generations(
        infer_requests=requests("a", "b"),
        ground_truths=["1", "2"],
        expected=[None, None],
        columns={"task": ["math", "code"]},
        rewards=[part],
    )
    assert OrmAccuracy().compute(generations) == {"orm_accuracy": 1.0}


RUN = 'model: {model_id: "demo:tiny"}\ndata: {dataset: "demo:prompts"}\ntrain: {stage: grpo}\n'


def problems(reward, **columns):
    plan = resolve(parse(f"{RUN}reward:\n  orms:\n    - {reward}\n", Path("run.yaml")), installed(), planning=True)
    count = len(next(iter(columns.values())))
    rows = [
        {"ground_truth": "4", "columns": {name: values[i] for name, values in columns.items()}, "row": i}
        for i in range(count)
    ]
    try:
        check_prompt_rows(plan, build_rewards(plan), rows)
    except SwiftError as error:
        return [(p.code, p.message, str(p.place).rpartition("/")[2]) for p in error.problems]
    return []


@pytest.mark.parametrize(
    ("when", "place", "message"),
    [
        (
            "{tsk: math}",
            "run.yaml:6:32",
            "reward 'math' is for rows with a certain 'tsk', and the data has no such column. Did you mean 'task'? "
            "Columns: level, task.",
        ),
        (
            "{task: [math, maths]}",
            "run.yaml:6:33",
            "reward 'math' is for rows with task: maths, and no row has that; it has 'code', 'math'.",
        ),
    ],
)
def test_a_filter_that_fits_no_row_is_refused_with_its_place(when, place, message):
    found = problems(f"{{name: math, when: {when}}}", task=["math", "code", None], level=[1, 2, 3])
    assert found == [("reward-when", message, place)]


def test_a_filter_that_fits_is_taken_and_a_missing_column_told_before_the_run():
    assert problems("{name: math, when: {task: math}}", task=["math", "code"]) == []
    ((code, message, place),) = problems("countdown", task=["math"])
    assert (code, place) == ("reward-data", "run.yaml:6:7")
    assert "asks for column 'target', 'nums', which the data does not have" in message


@pytest.mark.parametrize(
    ("reward", "place"),
    [
        ("{name: math, weight: {schedule: linear, start: 1.0, end: 0.0}}", "run.yaml:6:20"),
        ("{name: math, weight: {schedule: bent, start: 1.0, end: 0.0, steps: 4}}", "run.yaml:6:39"),
        ("{name: math, weight: heavy}", "run.yaml:6:28"),
        ("{name: math, when: {task: {a: 1}}}", "run.yaml:6:33"),
    ],
)
def test_a_wrong_weight_or_filter_is_refused_with_its_place(reward, place):
    with pytest.raises(SwiftError) as caught:
        parse(f"{RUN}reward:\n  orms:\n    - {reward}\n", Path("run.yaml"))
    assert place in [str(problem.place) for problem in caught.value.problems]
