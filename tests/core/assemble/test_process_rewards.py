"""Process rewards: from the scores of steps to one score for each answer."""

import json
from dataclasses import replace

import pytest

from swift_core.assemble.failures import FailurePolicy
from swift_core.assemble.rewards import adapt_reward, build_rewards
from swift_core.config.load import load
from swift_core.contracts.reward import InferRequest, RewardInputs, report_failure
from swift_core.errors import SwiftError
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve

PRM = """\
class Steps:
    '''Scores the lines of an answer by their length.'''

    def __call__(self, infer_requests):
        return [[len(line) / 10 for line in r.response.splitlines()] for r in infer_requests]
"""


def inputs(*responses):
    requests = [InferRequest(messages=[], response=response) for response in responses]
    return RewardInputs(requests, [None] * len(requests))


def process(scores, aggregate="min", **policy):
    adapted = adapt_reward("prm", lambda infer_requests: scores)
    return replace(adapted, aggregate=aggregate, policy=FailurePolicy(**policy))


@pytest.mark.parametrize(("how", "value"), [("min", 0.25), ("mean", 1.75 / 3), ("product", 0.125), ("last", 0.5)])
def test_the_scores_of_steps_become_one(how, value):
    scores = process([[0.25, 1.0, 0.5]], how).score(inputs("a"))
    assert scores == [pytest.approx(value)]
    assert scores.steps == [[0.25, 1.0, 0.5]]


def test_an_answer_without_steps_abstains_and_so_does_one_with_a_step_nobody_judged():
    scores = process([[], None, [0.5, None], 0.25]).score(inputs("a", "b", "c", "d"))
    assert scores == [None, None, None, 0.25]
    assert scores.steps == [[], None, None, [0.25]]


@pytest.mark.parametrize("scores", [[[0.1, float("nan")]], [["x"]], [[0.1], [0.2]], "0.5"])
def test_what_is_no_score_is_refused(scores):
    with pytest.raises(ValueError, match="reward 'prm'"):
        process(scores).score(inputs("a"))


def test_failures_are_masked_and_not_zero():
    def half(infer_requests):
        report_failure(0, "network", "no route")
        return [None, [0.5]]

    reward = replace(adapt_reward("prm", half), aggregate="min", policy=FailurePolicy("mask", 0.9))
    scores = reward.score(inputs("a", "b"))
    assert scores == [None, 0.5]
    assert scores.failures[0].kind == "network"


def write(folder, rewards):
    (folder / "steps.py").write_text(PRM)
    (folder / "rows.jsonl").write_text(json.dumps({"prompt": "q"}) + "\n")
    run = folder / "run.yaml"
    run.write_text(f"model: {{model_id: 'demo:tiny'}}\ndata: {{dataset: rows.jsonl}}\nreward: {rewards}\n")
    return resolve(load(run, []), installed(allow_code=True), sampling=True)


def test_a_run_file_names_them_with_weight_and_aggregation(tmp_path):
    entry = "{name: './steps.py:Steps', weight: 0.5, aggregate: last}"
    plan = write(tmp_path, f"{{prms: [{entry}], orms: [math]}}\nplugins: {{sandbox: {{mode: 'off'}}}}")
    assert [(part.kind, part.weight, part.aggregate) for part in plan.rewards] == [
        ("orm", 1.0, None), ("prm", 0.5, "last"),
    ]  # fmt: skip
    assert plan.prms[0] in plan.parts
    process_reward = build_rewards(plan)[1]
    assert process_reward.kind == "prm"
    assert process_reward.score(inputs("ab\nabc").infer_requests, [None]) == [0.3]


def test_one_of_others_runs_in_a_process_of_its_own(tmp_path):
    plan = write(tmp_path, "{prms: ['./steps.py:Steps']}")
    scores = build_rewards(plan)[0].score(inputs("ab\nabc", "").infer_requests, [None, None])
    assert scores == [0.2, None]
    assert scores.steps == [[0.2, 0.3], []]


def test_an_aggregation_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(SwiftError, match="aggregate"):
        write(tmp_path, "{prms: [{name: './steps.py:Steps', aggregate: max}]}")
