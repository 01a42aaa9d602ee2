"""Asking servers: order, limits, what is tried again, and what becomes of a server that is down."""

import asyncio
import threading
import time

import pytest

from swift_core.contracts.reward import RewardFailure
from swift_core.remote import RemoteClient
from swift_core.testing.server import loopback_server


def kinds(answers):
    return [answer.kind if isinstance(answer, RewardFailure) else answer for answer in answers]


def test_answers_come_in_the_order_of_the_requests_and_no_more_are_under_way_than_allowed():
    def answer(path, body):
        time.sleep(0.02 if body["n"] % 2 else 0.0)
        return 200, [path, body["n"]]

    with loopback_server(answer) as server:
        client = RemoteClient(url=f"{server.url}/v1/", max_concurrency=3)
        assert client.ask("/score", [{"n": n} for n in range(12)]) == [["/v1/score", n] for n in range(12)]
        assert server.most_at_once <= 3


@pytest.mark.parametrize(("status", "tries"), [(408, 3), (429, 3), (500, 3), (503, 3), (400, 1), (401, 1), (404, 1)])
def test_only_a_busy_server_is_asked_again(status, tries):
    with loopback_server(lambda path, body: (status, {"error": "no"})) as server:
        (failure,) = RemoteClient(url=server.url, max_retries=2, backoff=0.0).ask("/x", [{}])
        assert failure.kind == ("network" if tries > 1 else "error")
        assert f"HTTP {status}" in failure.message
        assert len(server.asked) == tries


@pytest.mark.timed
def test_a_request_that_succeeds_later_is_answered_and_the_servers_wait_is_kept():
    turns = iter([(429, {}, {"Retry-After": "1"}), (200, {"ok": 1})])
    with loopback_server(lambda path, body: next(turns)) as server:
        begun = time.monotonic()
        assert RemoteClient(url=server.url, backoff=0.0).ask("/x", [{}]) == [{"ok": 1}]
        assert time.monotonic() - begun >= 1.0


def test_what_is_no_json_fails_alone():
    def answer(path, body):
        return (200, b"<html>") if body["n"] == 1 else (200, body["n"])

    with loopback_server(answer) as server:
        assert kinds(RemoteClient(url=server.url).ask("/x", [{"n": 0}, {"n": 1}, {"n": 2}])) == [0, "error", 2]


@pytest.mark.timed
def test_a_slow_answer_and_a_passed_deadline_are_timeouts():
    release = threading.Event()

    def answer(path, body):
        if body["n"]:
            release.wait(5)
        return 200, body["n"]

    with loopback_server(answer) as server:
        assert kinds(RemoteClient(url=server.url, timeout=0.2).ask("/x", [{"n": 0}, {"n": 1}])) == [0, "timeout"]
        begun = time.monotonic()
        late = RemoteClient(url=server.url, timeout=5, deadline=0.3, max_concurrency=1)
        assert kinds(late.ask("/x", [{"n": 1}, {"n": 2}])) == ["timeout", "timeout"]
        assert time.monotonic() - begun < 3
        release.set()


def test_a_server_that_is_down_is_left_alone_and_asked_again_later():
    with loopback_server(lambda path, body: (400, {})) as server:
        client = RemoteClient(url=server.url, max_concurrency=1, max_failures=2, cooldown=0.2)
        assert kinds(client.ask("/x", [{}] * 5)) == ["error", "error", "network", "network", "network"]
        assert len(server.asked) == 2
        time.sleep(0.25)
        client.ask("/x", [{}])
        assert len(server.asked) == 3


def test_nobody_listening_is_a_network_failure():
    with loopback_server(lambda path, body: (200, {})) as server:
        url = server.url
    assert kinds(RemoteClient(url=url).ask("/x", [{}])) == ["network"]


def test_the_key_is_sent_and_a_missing_one_is_told_at_once(monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    with loopback_server(lambda path, body: (200, {})) as server:
        client = RemoteClient(url=server.url, api_key_env="SOME_KEY")
        client.ask("/x", [{}])
        assert server.asked[0][2]["Authorization"] == "Bearer secret"
        assert "secret" not in repr(client)
    with pytest.raises(ValueError, match="OTHER_KEY, which is not set"):
        RemoteClient(url="http://localhost", api_key_env="OTHER_KEY")


def test_it_works_where_a_loop_runs_already():
    async def inside(url):
        return RemoteClient(url=url).ask("/x", [{}])

    with loopback_server(lambda path, body: (200, 7)) as server:
        assert asyncio.run(inside(server.url)) == [7]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "localhost:8000"}, "url must begin with http"),
        ({"url": "http://localhost", "timeout": 0}, "timeout must be > 0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RemoteClient(**options)
