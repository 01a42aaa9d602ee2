import math

import pytest

from swift_core.assemble.failures import FailurePolicy, FailureTally, settled
from swift_core.assemble.rewards import adapt_reward
from swift_core.builtins.orm_accuracy import OrmAccuracy
from swift_core.contracts.handover import RewardPart
from swift_core.contracts.metric import Generations
from swift_core.contracts.reward import InferRequest, RewardFailure, RewardInputs, report_failure
from swift_core.errors import Place, SwiftError

HANG = RewardFailure("timeout", "no answer within 1 seconds")
PLACE = Place("run.yaml", 10, 7, "    - acme:brevity")


def dealt_with(scores, failures, tally=None, **policy):
    return settled("r", scores, failures, FailurePolicy(**policy), tally or FailureTally())


def test_a_failed_answer_is_masked_and_not_a_zero():
    scores = dealt_with([1.0, None, 0.0], {1: HANG}, on_error="mask", max_failure_rate=0.5)
    assert scores == [1.0, None, 0.0]
    assert scores.failures == {1: HANG}


def test_a_failed_answer_is_zero_only_when_asked():
    scores = dealt_with([1.0, None, None], {1: HANG}, on_error="zero", max_failure_rate=0.5)
    assert scores == [1.0, 0.0, None]
    assert scores.failures == {1: HANG}


def test_raising_stops_at_the_first_with_its_place():
    with pytest.raises(SwiftError) as caught:
        dealt_with([1.0] * 9 + [None], {9: HANG}, on_error="raise", place=PLACE, next_step="look")
    (problem,) = caught.value.problems
    assert problem.code == "reward-failed"
    assert problem.place == PLACE
    assert problem.message == (
        "reward 'r' failed on 1 of 10 answers; the first, answer 9: no answer within 1 seconds (timeout)."
    )


def test_above_the_rate_the_run_stops_and_says_what_failed():
    tally = FailureTally()
    for _ in range(9):
        dealt_with([1.0] * 10, {}, tally, on_error="mask")
    dealt_with([None] * 5 + [1.0] * 5, dict.fromkeys(range(5), HANG), tally, on_error="mask")
    with pytest.raises(
        SwiftError, match=r"6 of 110 so far \(1 crash, 5 timeout\), and reward\.max_failure_rate is 0\.05"
    ):
        dealt_with([None] + [1.0] * 9, {0: RewardFailure("crash", "gone")}, tally, on_error="mask")


def test_a_few_answers_are_no_rate_unless_all_fail():
    assert dealt_with([None] + [1.0] * 3, {0: HANG}, on_error="mask") == [None, 1.0, 1.0, 1.0]
    with pytest.raises(SwiftError, match="4 of 4 so far"):
        dealt_with([None] * 4, dict.fromkeys(range(4), HANG), on_error="mask")


@pytest.mark.parametrize(
    ("failed", "scored", "rate", "stops"),
    [(0, 0, 0.0, False), (0, 100, 0.0, False), (1, 100, 0.0, True), (5, 100, 0.05, False), (6, 100, 0.05, True)],
)
def test_the_decision_depends_on_the_counts_alone(failed, scored, rate, stops):
    assert FailureTally(scored, {"crash": failed}).exceeds(rate) is stops


def test_failures_are_logged_by_the_name_of_the_reward(caplog):
    dealt_with([1.0, None], {1: HANG}, on_error="mask", max_failure_rate=0.9)
    assert (
        "reward 'r' failed on 1 of 2 answers; the first, answer 1: no answer within 1 seconds (timeout)" in caplog.text
    )


def inputs(count):
    return RewardInputs([InferRequest(messages=[], response=str(i)) for i in range(count)], [None] * count)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError("late"), "timeout"),
        (ConnectionResetError("gone"), "network"),
        (MemoryError(), "memory"),
        (KeyError("x"), "error"),
    ],
)
def test_an_exception_in_a_reward_fails_its_answers_with_a_kind_and_a_place(error, kind):
    def reward(completions):
        raise error

    with pytest.raises(SwiftError, match=rf"{type(error).__name__}.*test_failures\.py:\d+\) \({kind}\)"):
        adapt_reward("r", reward).score(inputs(3))


def test_broken_data_stays_an_error_about_the_data():
    def reward(completions):
        raise ValueError("row 2 has no tests")

    with pytest.raises(ValueError, match=r"^row 2 has no tests$"):
        adapt_reward("r", reward).score(inputs(3))


def reporting(completions):
    report_failure(1, "network", "no answer of the judge")
    return [1.0, None, None, 0.5]


def test_a_reward_reports_the_answers_that_it_could_not_score():
    adapted = adapt_reward("judge", reporting)
    with pytest.raises(SwiftError, match="no answer of the judge"):
        adapted.score(inputs(4))
    assert adapted.tally.kinds == {"network": 1}


def test_a_report_outside_of_a_run_is_a_warning(caplog):
    assert reporting(["a"] * 4) == [1.0, None, None, 0.5]
    assert "row 1 could not be scored (network): no answer of the judge" in caplog.text


def test_the_metric_tells_failures_from_abstentions():
    import dataclasses

    adapted = dataclasses.replace(adapt_reward("judge", reporting), policy=FailurePolicy("mask", 0.5))
    data = inputs(4)
    generations = Generations(data.infer_requests, [None] * 4, [None] * 4, {}, [RewardPart("judge", 1.0, adapted)])
    figures = OrmAccuracy().compute(generations)
    assert figures == {"orm_accuracy": 0.75, "orm_abstained": 1.0, "orm_failed": 1.0}
    assert not math.isnan(figures["orm_accuracy"])
