import math

import pytest

from swift_core.assemble.rewards import adapt_reward
from swift_core.contracts.reward import InferRequest, RewardInputs


def requests(*responses):
    return [
        InferRequest(
            messages=[{"role": "user", "content": f"question {index}"}, {"role": "assistant", "content": response}],
            response=response,
        )
        for index, response in enumerate(responses)
    ]


def inputs(*responses, truths=None, **columns):
    return RewardInputs(requests(*responses), truths or ["4"] * len(responses), columns)


def exact(infer_requests, ground_truths):
    return [float(r.response == t) for r, t in zip(infer_requests, ground_truths, strict=True)]


def test_serves_the_dialect_of_requests_and_truths():
    assert adapt_reward("exact", exact)(requests("4", "5"), ["4", "4"]) == [1.0, 0.0]


def test_serves_the_dialect_of_completions_with_their_truth_by_any_usual_name():
    def by_solution(completions, solution):
        return [float(c == s) for c, s in zip(completions, solution, strict=True)]

    def by_truth(completions, *, ground_truth):
        return by_solution(completions, ground_truth)

    def by_truths(completions, ground_truths):
        return by_solution(completions, ground_truths)

    for reward in (by_solution, by_truth, by_truths):
        assert adapt_reward("exact", reward).score(inputs("4", "5")) == [1.0, 0.0]


def test_serves_an_object_with_options():
    class Brief:
        def __init__(self, limit):
            self.limit = limit

        def __call__(self, completions):
            return [len(c) <= self.limit for c in completions]

    scores = adapt_reward("brief", Brief(2)).score(inputs("ab", "abc"))
    assert scores == [1.0, 0.0]
    assert all(type(score) is float for score in scores)


def test_serves_an_async_reward():
    async def later(completions):
        return [float(len(c)) for c in completions]

    assert adapt_reward("later", later).score(inputs("ab", "abc")) == [2.0, 3.0]


def test_hands_over_only_the_columns_that_are_asked_for():
    def reward(completions, level, hint="none"):
        return [float(level[0] == 3 and hint == "none")] * len(completions)

    assert adapt_reward("r", reward).score(inputs("a", level=[3], other=[1])) == [1.0]


def test_hands_over_every_column_to_a_reward_that_takes_all():
    seen = {}

    def reward(completions, **columns):
        seen.update(columns)
        return [0.0] * len(completions)

    adapt_reward("r", reward).score(inputs("a", level=[3], ground_truths=["9"]))
    assert seen == {"level": [3]}


def test_a_column_of_the_data_wins_over_what_core_knows_by_that_name():
    def reward(completions, solution):
        return [float(c == s) for c, s in zip(completions, solution, strict=True)]

    assert adapt_reward("r", reward).score(inputs("8", truths=["4"], solution=["8"])) == [1.0]


def test_offers_prompts_without_the_answer():
    def reward(completions, prompts):
        return [float([m["content"] for m in prompt] == [f"question {i}"]) for i, prompt in enumerate(prompts)]

    assert adapt_reward("r", reward).score(inputs("a", "b")) == [1.0, 1.0]


def test_a_missing_column_is_refused_before_anything_is_scored():
    def reward(completions, level, tests):
        raise AssertionError("was called")

    adapted = adapt_reward("code", reward)
    with pytest.raises(
        ValueError, match=r"^reward 'code' asks for column 'level', 'tests', which the data does not have; it has kind$"
    ):
        adapted.score(inputs("a", kind=["x"]))


def test_missing_ground_truths_are_refused():
    with pytest.raises(ValueError, match=r"^reward 'exact' asks for ground truths and the data has none$"):
        adapt_reward("exact", exact)(requests("4"), [None])


def test_abstentions_are_kept():
    assert adapt_reward("r", lambda completions: [None, 1]).score(inputs("a", "b")) == [None, 1.0]


def test_an_empty_batch_is_scored():
    assert adapt_reward("exact", exact)([], []) == []


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([1.0], r"reward 'r' returned 1 scores for 2 answers"),
        ([1.0, 2.0, 3.0], r"reward 'r' returned 3 scores for 2 answers"),
        (None, r"reward 'r' returned NoneType, not a list of one score per answer"),
        (1.0, r"reward 'r' returned float, not a list of one score per answer"),
        ("ab", r"reward 'r' returned str, not a list of one score per answer"),
        ({"a": 1, "b": 2}, r"reward 'r' returned dict, not a list of one score per answer"),
        ([1.0, math.nan], r"reward 'r' scored answer 1 as nan; a score is a finite number, or None to abstain"),
        ([math.inf, 1.0], r"reward 'r' scored answer 0 as inf; a score is a finite number, or None to abstain"),
        (["1", 0.0], r"reward 'r' scored answer 0 as '1'; a score is a finite number, or None to abstain"),
        ([[1.0], 0.0], r"reward 'r' scored answer 0 as \[1.0\]; a score is a finite number, or None to abstain"),
    ],
)
def test_broken_scores_are_refused_with_the_name(returned, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        adapt_reward("r", lambda completions: returned).score(inputs("a", "b"))


@pytest.mark.parametrize("reward", [lambda text: [], lambda: [], lambda *completions: [], lambda **columns: []])
def test_another_signature_is_refused(reward):
    with pytest.raises(
        ValueError, match=r"must take \(infer_requests, ground_truths, \.\.\.\) or \(completions, \.\.\.\)"
    ):
        adapt_reward("r", reward)
