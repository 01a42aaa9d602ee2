"""A judge behind a server: marks, and what is no mark."""

from dataclasses import replace

import pytest

from swift_core.assemble.failures import FailurePolicy
from swift_core.assemble.rewards import adapt_reward
from swift_core.errors import SwiftError
from swift_core.plugin_api import InferRequest, RewardInputs
from swift_core.testing.server import loopback_server
from swift_reward_zoo.judge.judge import Judge


def request(answer, question="What is 3 + 4?"):
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return InferRequest(messages=turns, response=answer)


def says(text):
    return lambda path, body: (200, {"choices": [{"message": {"content": text}}]})


def marked(text, **options):
    with loopback_server(says(text)) as server:
        return Judge(url=f"{server.url}/v1", model="j", **options)([request("7")])[0]


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("Right. [[10]]", 1.0),
        ("[[ 0 ]]", 0.0),
        ("I would not say [[8]]: it is wrong. [[2.5]]", 0.25),
        ("<think>[[10]]?</think>[[3]]", 0.3),
        ("no mark", None),
        ("[[11]]", None),
        ("[[-1]]", None),
        ("[[nan]]", None),
        ("<think>[[10]]", None),
        (None, None),
    ],
)
def test_the_last_mark_counts_and_none_is_not_zero(reply, score):
    assert marked(reply) == (score if score is None else pytest.approx(score))


def test_other_scales_and_forms_of_a_mark():
    assert marked("Reward: 0.8 is too high. Reward: 0.2", pattern=r"Reward: ([\d.]+)", highest=1.0) == 0.2
    assert marked("[[-5]]", lowest=-10.0) == 0.25


def test_every_answer_is_asked_about_once_and_keeps_its_place():
    def answer(path, body):
        text = body["messages"][-1]["content"]
        return says("[[9]]" if "<answer>\ngood" in text else "[[1]]")(path, body)

    with loopback_server(answer) as server:
        judge = Judge(url=server.url, model="j", system="Be strict.", max_concurrency=2)
        scores = judge([request("good"), request("bad"), request(" "), request("good")])
        assert scores == [0.9, 0.1, 0.0, 0.9]
        assert len(server.asked) == 3
        assert server.most_at_once <= 2
        body = server.asked[0][1]
    assert [turn["role"] for turn in body["messages"]] == ["system", "user"]
    assert (body["model"], body["temperature"]) == ("j", 0.0)


def test_the_reference_is_shown_where_there_is_one_and_nothing_is_put_in_twice():
    with loopback_server(says("[[1]]")) as server:
        judge = Judge(url=server.url, model="j", max_concurrency=1)
        judge([request("{reference} {question}"), request("a")], ground_truth=["seven", None])
        first, second = (body["messages"][0]["content"] for _, body, _ in server.asked)
    assert "<reference>\nseven\n</reference>" in first
    assert "<answer>\n{reference} {question}\n</answer>" in first
    assert "<reference>" not in second


def test_a_judge_that_fails_is_a_typed_failure_that_a_run_masks_or_stops_on():
    def answer(path, body):
        return (503, {}) if "bad" in body["messages"][0]["content"] else says("[[5]]")(path, body)

    inputs = RewardInputs([request("good"), request("bad")], [None, None])
    with loopback_server(answer) as server:
        adapted = adapt_reward("judge", Judge(url=server.url, model="j", max_retries=0))
        adapted = replace(adapted, policy=FailurePolicy("mask", 0.9))
        scores = adapted.score(inputs)
        assert scores == [0.5, None]
        assert {row: failure.kind for row, failure in scores.failures.items()} == {1: "network"}
        strict = adapt_reward("judge", Judge(url=server.url, model="j", max_retries=0))
        with pytest.raises(SwiftError, match="failed on 1 of 2 answers"):
            strict.score(inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lowest": 1.0, "highest": 1.0}, "lowest must be below highest"),
        ({"prompt": "Mark {question}"}, "prompt must hold {answer}"),
        ({"pattern": "mark"}, "pattern must have one group"),
        ({"pattern": "("}, "pattern must be a regular expression"),
        ({"api_key_env": "NO_SUCH_KEY_HERE"}, "NO_SUCH_KEY_HERE, which is not set"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Judge(**({"url": "http://localhost:1", "model": "j"} | options))
