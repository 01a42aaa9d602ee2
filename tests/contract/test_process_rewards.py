"""Process rewards: finite scores for the steps of each answer, by the answer and nothing else."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from swift_core.assemble.rewards import adapt_reward
from swift_core.contracts.reward import RewardInputs
from swift_core.plugin_api import InferRequest
from swift_core.plugins.options import build
from swift_core.testing.server import loopback_server

KIND = "prm"
ELSEWHERE = {"local_prm": "it needs a trained run: tests/runs/test_trained_rewards.py"}
ANSWERS = ["Step 1: 3 + 4\nStep 2: 7", "7", "", "\0é…\n\n\\boxed{7}", "7\n\n" * 20, "{" * 200, "<extra_0>\n\n#"]


@pytest.fixture(scope="session")
def prm_url():
    """Where a process reward model listens; the scores of steps fall."""

    def answer(path, body):
        tags = body["messages"][-1]["content"].count("<extra_0>")
        return 200, {"data": [{"index": 0, "data": [[1 - 1 / n, 1 / n] for n in range(1, tags + 1)]}]}

    with loopback_server(answer) as server:
        yield server.url


@pytest.fixture
def plugin(spec, target, request):
    """The reward, built with what it needs."""
    if spec.name in ELSEWHERE:
        pytest.skip(ELSEWHERE[spec.name])
    model = {"model": str(request.getfixturevalue("tiny_folder"))}
    needed = {
        "remote_prm": lambda: {"url": request.getfixturevalue("prm_url"), "model": "prm"},
        "rollout_prm": lambda: model | {"num_rollouts": 1, "max_tokens": 2, "grader": "exact_match"},
        "step_token_prm": lambda: model | {"step_token": "#", "use_chat_template": False},
    }
    return build(target, needed[spec.name]() if spec.first_party and spec.name in needed else {})


@pytest.fixture
def score(spec, plugin):
    """Return a function from answers to checked scores."""
    reward = replace(adapt_reward(spec.name, plugin), aggregate="min")

    def scores(answers):
        question = {"role": "user", "content": "What is 3 plus 4?"}
        turns = [[question, {"role": "assistant", "content": answer}] for answer in answers]
        requests = [InferRequest(messages=t, response=a) for t, a in zip(turns, answers, strict=True)]
        return reward.score(RewardInputs(requests, ["7"] * len(answers)))

    return scores


def test_it_scores_the_steps_of_each_answer_or_abstains(score):
    scores = score(ANSWERS)
    assert len(scores) == len(scores.steps) == len(ANSWERS)
    assert all(math.isfinite(step) for steps in scores.steps for step in steps or ())
    assert len(scores.steps[0]) == 2
    assert scores[ANSWERS.index("")] is None


def test_no_answers_have_no_scores(score):
    assert score([]) == []


def test_a_score_by_the_answer_does_not_depend_on_the_others_or_their_order(plugin, score):
    if getattr(plugin, "scope", "") == "sample":
        together = score(ANSWERS)
        assert score(ANSWERS[::-1])[::-1] == pytest.approx(together, abs=1e-5)


def test_the_same_answers_have_the_same_scores(score):
    assert score(ANSWERS) == pytest.approx(score(ANSWERS), abs=1e-6)
