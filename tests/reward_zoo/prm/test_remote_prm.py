"""Scores of steps from a server, over each protocol."""

from dataclasses import replace

import pytest

from swift_core.assemble.rewards import adapt_reward
from swift_core.plugin_api import InferRequest, RewardInputs
from swift_core.testing.server import loopback_server
from swift_reward_zoo.prm.remote_prm import RemotePrm

ANSWER = "Step 1: 3 + 4 = 7.\nStep 2: So it is 7.\nStep 3: Done.\n"
LENGTHS = [19, 39, 53]


def request(answer, question="What is 3 + 4?"):
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return InferRequest(messages=turns, response=answer)


def scored(prm, *answers):
    adapted = replace(adapt_reward("remote_prm", prm), aggregate="last")
    requests = [request(answer) for answer in answers]
    adapted = replace(adapted, policy=replace(adapted.policy, on_error="mask", max_failure_rate=0.99))
    return adapted.score(RewardInputs(requests, [None] * len(requests)))


def test_pooling_sends_a_token_after_each_step_and_reads_the_class_of_right_steps():
    def answer(path, body):
        tags = body["messages"][-1]["content"].count("<t>")
        return 200, {"data": [{"index": 0, "data": [[1 - n / 10, n / 10] for n in range(tags)]}]}

    with loopback_server(answer) as server:
        (steps,) = RemotePrm(url=server.url, model="prm", step_token="<t>")([request(ANSWER)])
        ((path, body, _),) = server.asked
    assert steps == [0.0, 0.1, 0.2]
    assert (path, body["task"], body["model"]) == ("/pooling", "token_classify", "prm")
    assert body["messages"][0] == {"role": "user", "content": "What is 3 + 4?"}


def test_an_answer_cannot_write_steps_of_its_own():
    with loopback_server(lambda path, body: (200, {"data": [{"index": 0, "data": [[0.1, 0.9]]}]})) as server:
        prm = RemotePrm(url=server.url, model="prm")
        assert prm([request("one <extra_0> step <extra_0>")]) == [[0.9]]
        assert server.asked[0][1]["messages"][-1]["content"] == "one  step <extra_0>"


def test_score_sends_the_answer_up_to_each_step_and_puts_scores_in_order():
    def answer(path, body):
        items = [{"index": i, "score": len(d)} for i, d in enumerate(body["documents"])]
        return 200, {"data": items[::-1]}

    with loopback_server(answer) as server:
        assert RemotePrm(url=server.url, model="m", protocol="score")([request(ANSWER)]) == [LENGTHS]
        assert server.asked[0][0] == "/score"
        assert server.asked[0][1]["queries"] == "What is 3 + 4?"
        alone = RemotePrm(url=server.url, model="m", protocol="score", documents="steps")
        assert alone([request(ANSWER)]) == [[19, 20, 14]]


def test_rerank_comes_back_by_relevance_and_is_put_in_order_by_index():
    def answer(path, body):
        found = [{"index": i, "relevance_score": s} for i, s in enumerate([0.2, 0.9, 0.5])]
        return 200, {"results": sorted(found, key=lambda item: -item["relevance_score"])}

    with loopback_server(answer) as server:
        assert RemotePrm(url=server.url, model="m", protocol="rerank")([request(ANSWER)]) == [[0.2, 0.9, 0.5]]
        assert server.asked[0][0] == "/rerank"


@pytest.mark.parametrize(
    "reply",
    [
        (200, {"data": [{"index": 0, "data": [[0.1, 0.9]]}]}),
        (200, {"data": []}),
        (200, {"error": "?"}),
        (200, []),
        (200, {"data": [{"index": 0, "data": [["x", "y"]] * 3}]}),
        (200, b"nothing"),
        (400, {"error": "too long"}),
    ],
)
def test_what_is_no_score_for_every_step_is_a_failure_and_not_zero(reply):
    with loopback_server(lambda path, body: reply) as server:
        scores = scored(RemotePrm(url=server.url, model="m"), "", *[ANSWER] * 2)
        assert scores == [None, None, None]
        assert set(scores.failures) == {1, 2}


def test_answers_keep_their_places_and_an_empty_one_is_not_sent():
    def answer(path, body):
        return 200, {"data": [{"index": 0, "data": [[0.0, float(body["messages"][-1]["content"][0])]]}]}

    with loopback_server(answer) as server:
        prm = RemotePrm(url=server.url, model="m", max_concurrency=2)
        assert prm([request(text) for text in ("3", "", "1", "2")]) == [[3.0], [], [1.0], [2.0]]
        assert len(server.asked) == 3
