"""Pools: an answer or a failure of the same kind for each item, wherever the processes run."""

from __future__ import annotations

import importlib.util
import threading

import pytest

from swift_core.plugin_api import SandboxUnavailableError, Work, WorkerFailure
from swift_core.plugins.options import build
from swift_core.plugins.registry import installed
from swift_core.sandbox.failures import WorkerStartError
from swift_core.sandbox.probe import probe

KIND = "pool"
ODD = "swift_core.testing.odd_work:make"


@pytest.fixture(scope="module")
def pools():
    """Pools by name, kept: a cluster takes long to start."""
    return {}


@pytest.fixture
def pool(spec, target, pools):
    package = getattr(target, "needs_package", "")
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: nox -s {package}")
    return pools.setdefault(spec.qualified, build(target, {}))


@pytest.fixture
def make_workers(pool):
    made = []

    def make(**options):
        made.append(pool.workers(Work(**{"target": ODD, "num_workers": 2, "timeout": 1.0, **options})))
        return made[-1]

    yield make
    for workers in made:
        workers.close()


def test_items_are_answered_in_their_order(make_workers):
    numbers = [1, 2.5, 0.1 + 0.2, 1e-320, float("inf"), *range(50)]
    items = [*numbers, "text \ud800 数", None, True, {"a": [1]}, "x" * 100_000]
    workers = make_workers(options={"a": [1, None]})
    assert workers.start().info == {"options": {"a": [1, None]}}
    assert workers.start().level == probe().level
    assert workers.map(items) == items
    assert workers.map([]) == []
    assert workers.call("one") == "one"


def test_failures_are_of_the_same_kinds_and_cost_no_other_item(make_workers):
    odd = {
        3: (["crash"], "crash", "the process was ended by SIGSEGV"),
        10: (["sleep", 60], "timeout", "no answer within 1 seconds"),
        11: (["fail", "why"], "error", "KeyError: 'why' ("),
        12: (["leave"], "crash", "the process ended with exit code 3"),
        20: (["flood", 9 * 2**20], "flood", "an answer of 9437"),
        29: (["fill", 2**40], "memory", "it needed more memory than it may have"),
    }
    items = [odd[place][0] if place in odd else place for place in range(30)]
    answers = make_workers().map(items)
    assert [answer for place, answer in enumerate(answers) if place not in odd] == sorted({*range(30)} - odd.keys())
    for place, (_, kind, message) in odd.items():
        assert isinstance(answers[place], WorkerFailure)
        assert answers[place].kind == kind
        assert str(answers[place]).startswith(message)
    assert answers[11].exception == "KeyError"


def test_processes_are_confined_alike_and_start_anew_after_a_close(make_workers):
    if probe().level < "L2":
        pytest.skip(probe().reasons["L2"])
    workers = make_workers(require="L2", num_workers=1)
    with pytest.raises(WorkerFailure, match="PermissionError") as caught:
        workers.call(["read", "/etc/passwd"])
    assert caught.value.kind == "error"
    assert [workers.call(["count"]) for _ in range(2)] == [2, 3]
    workers.close()
    assert workers.call(["count"]) == 1


def test_what_cannot_be_imported_or_sent_is_refused(make_workers):
    with pytest.raises(WorkerStartError, match="no_such_module"):
        make_workers(target="no_such_module:make").start()
    with pytest.raises(TypeError, match="JSON"):
        make_workers().map([{1, 2}])


def test_a_level_that_is_not_reached_is_refused(make_workers, monkeypatch):
    if probe().level >= "L3":
        pytest.skip("this machine reaches every level")
    with pytest.raises(SandboxUnavailableError, match="L3 is required"):
        make_workers(require="L3").start()


def test_several_threads_may_ask_at_once(make_workers):
    workers, found = make_workers(), []
    threads = [threading.Thread(target=lambda: found.append(workers.map(list(range(40))))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [list(range(40))] * 3


def test_core_itself_knows_two():
    assert {spec.name for spec in installed().specs(KIND) if spec.first_party} == {"local", "ray"}
