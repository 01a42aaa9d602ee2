import os
import threading
import time

import pytest

from swift_core.sandbox.failures import SandboxUnavailableError, WorkerFailure, WorkerStartError
from swift_core.sandbox.levels import LEVELS, require_everywhere
from swift_core.sandbox.probe import probe


def kinds(answers):
    return {place: answer.kind for place, answer in enumerate(answers) if isinstance(answer, WorkerFailure)}


def test_items_are_answered_in_their_order(make_pool):
    items = [1, 2.5, "text \ud800 数", None, True, {"a": [1]}, "x" * 100_000]
    assert make_pool().map(items) == items


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_a_lost_item_loses_nothing_but_itself(make_pool, num_workers):
    items = list(range(60))
    items[3], items[20], items[21] = ["crash"], ["hang"], ["fail", "x"]
    items[40], items[59] = ["flood", 9 * 2**20], ["fill", 2**40]
    answers = make_pool(num_workers=num_workers, timeout=1.0).map(items)
    assert kinds(answers) == {3: "crash", 20: "timeout", 21: "error", 40: "flood", 59: "memory"}
    assert [answer for answer in answers if not isinstance(answer, WorkerFailure)] == [
        item for item in items if isinstance(item, int)
    ]


@pytest.mark.parametrize(
    ("item", "kind", "message"),
    [
        (["hang"], "timeout", "no answer within 0.5 seconds"),
        (["sleep", 60], "timeout", "no answer within 0.5 seconds"),
        (["crash"], "crash", "the process was ended by SIGSEGV"),
        (["leave"], "crash", "the process ended with exit code 3"),
        (["flood", 9 * 2**20], "flood", "an answer of 9437"),
        (["forge"], "flood", "it answered something"),
        (["fill", 2**40], "memory", "it needed more memory than it may have"),
        (["fail", "why"], "error", "KeyError: 'why' ("),
        (["stop"], "error", "SystemExit: 1"),
        (["odd"], "error", "TypeError: Object of type set is not JSON serializable"),
        (["nested"], "error", "RecursionError"),
        (["read", "/etc/passwd"], "error", "PermissionError"),
    ],
)
def test_every_failure_has_its_kind_and_says_what_happened(make_pool, item, kind, message):
    if item[0] == "read" and probe().level < "L2":
        pytest.skip(probe().reasons["L2"])
    pool = make_pool(timeout=0.5 if kind == "timeout" else 10.0)
    with pytest.raises(WorkerFailure) as caught:
        pool.call(item)
    assert caught.value.kind == kind
    assert str(caught.value).startswith(message)
    assert pool.call("after") == "after"


def test_a_worker_that_answers_is_kept_and_one_that_fails_is_replaced(make_pool):
    pool = make_pool(timeout=0.5)
    assert [pool.call(["count"]) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(WorkerFailure):
        pool.call(["fail", "x"])
    assert pool.call(["count"]) == 5
    with pytest.raises(WorkerFailure):
        pool.call(["hang"])
    assert pool.call(["count"]) == 1
    assert pool.num_replaced == 1


@pytest.mark.timed
@pytest.mark.parametrize(
    ("num_workers", "hung"), [(1, (1, 2, 300)), (3, (0, 1, 2)), (3, (100, 300, 500)), (3, (597, 598, 599))]
)
def test_hung_items_wait_beside_each_other(make_pool, hung, num_workers):
    pool = make_pool(num_workers=num_workers, timeout=1.0)
    items = list(range(600))
    pool.map(items)
    begun = time.monotonic()
    pool.map(items)
    clean = time.monotonic() - begun
    for place in hung:
        items[place] = ["sleep", 60]
    begun = time.monotonic()
    answers = pool.map(items)
    took = time.monotonic() - begun
    assert kinds(answers) == dict.fromkeys(hung, "timeout")
    assert [answer for place, answer in enumerate(answers) if place not in hung] == [
        place for place in range(600) if place not in hung
    ]
    rounds = -(-len(hung) // num_workers)
    assert took <= clean + rounds * (1.0 + 0.5)  # 0.2 on a machine of its own: benchmarks/sandbox.py


def test_what_the_code_prints_is_no_answer(make_pool):
    assert make_pool().call(["say"]) == "said"


def test_a_worker_has_a_clean_environment_and_what_it_is_told(make_pool, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    info = make_pool(options={"a": [1, None]}).start().info
    assert info["options"] == {"a": [1, None]}
    assert "secret" not in str(info["environment"])


def test_several_threads_may_ask_at_once(make_pool):
    pool, found = make_pool(num_workers=2), []
    threads = [threading.Thread(target=lambda: found.append(pool.map(list(range(200))))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [list(range(200))] * 4


def test_workers_live_on_after_the_thread_that_asked_first(make_pool):
    pool, found = make_pool(), []
    thread = threading.Thread(target=lambda: found.append(pool.call(["process"])))
    thread.start()
    thread.join()
    time.sleep(0.1)
    assert pool.call(["count"]) == 2


def test_a_forked_process_starts_workers_of_its_own(make_pool):
    pool = make_pool(level="L1")
    parent, worker = pool.call(["process"])
    assert parent == os.getpid()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        host, other = pool.call(["process"])
        os.write(writer, bytes([host == os.getpid(), other != worker]))
        pool.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 2) == b"\1\1"
    assert pool.call(["process"]) == [parent, worker]
    os.close(reader)
    os.close(writer)


def test_closing_ends_the_workers_and_the_next_call_starts_new_ones(make_pool):
    pool = make_pool(level="L1")
    _, worker = pool.call(["process"])
    pool.close()
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    assert pool.call(1) == 1


def test_code_that_cannot_be_imported_is_told(make_pool):
    with pytest.raises(WorkerStartError, match=r"ModuleNotFoundError: No module named 'module_that_is_not_there'"):
        make_pool("sandbox_broken:make").call(1)
    with pytest.raises(WorkerStartError, match=r"it did not start in time"):
        make_pool("sandbox_slow:make", start_seconds=1.0).map([1, 2])


def test_items_that_json_cannot_say_are_refused_and_the_pool_goes_on(make_pool):
    pool = make_pool()
    with pytest.raises(TypeError, match="not JSON serializable"):
        pool.map([1, b"bytes"])
    assert pool.map([1, 2]) == [1, 2]


def test_no_items_start_no_worker(make_pool):
    assert make_pool("sandbox_broken:make").map([]) == []


def test_a_level_that_is_not_reached_is_refused_before_anything_is_imported(make_pool, monkeypatch):
    from swift_core.sandbox import worker

    settings = worker._settings

    def unconfined(options):
        told = settings(options)
        told["confinement"]["level"] = "L1"
        return told

    monkeypatch.setattr(worker, "_settings", unconfined)
    with pytest.raises(SandboxUnavailableError, match=r"sandbox level L2 is required and this machine reaches L1"):
        make_pool("sandbox_broken:make", require="L2").call(1)
    require_everywhere("L2")
    try:
        with pytest.raises(SandboxUnavailableError):
            make_pool("sandbox_broken:make").call(1)
    finally:
        require_everywhere("L1")


def test_the_levels_are_in_order():
    assert sorted(LEVELS) == list(LEVELS)


@pytest.mark.parametrize("timeout", [0.0, -1.0])
def test_a_timeout_that_is_none_is_refused(make_pool, timeout):
    with pytest.raises(ValueError, match=r"^timeout must be > 0, got "):
        make_pool(timeout=timeout)
