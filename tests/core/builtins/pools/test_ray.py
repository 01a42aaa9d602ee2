"""The pool `ray`: refused without it; with it (nox -s ray) the same as on this machine, and closed to others."""

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from swift_core.assemble.rewards import build_rewards
from swift_core.config.load import load
from swift_core.contracts.reward import InferRequest
from swift_core.errors import SwiftError
from swift_core.plugin_api import Work, WorkerFailure
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve
from swift_core.sandbox.probe import probe

NEEDS_RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed: nox -s ray")

REWARD = '''
class Terse:
    """Short answers; some of them hang, crash or fail."""

    scope = "sample"

    def __call__(self, completions):
        (completion,) = completions
        if completion == "hang":
            while True:
                pass
        if completion == "crash":
            import os
            os.abort()
        if completion == "fail":
            raise KeyError("x")
        return [None if not completion else 1 / len(completion)]
'''
CANARY, TOKEN = "canary-7f3a91", "7f3a91c0" * 8
SECRETS = ("HF_TOKEN", "WANDB_API_KEY", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "JUDGE_KEY")
NOSY = '''
import glob
import os


class Terse:
    """10 for each environment in which it finds a key or a token of its host, its own or that of a process."""

    scope = "sample"

    def __call__(self, completions):
        found = 0
        for environment in [repr(dict(os.environ)).encode(), *map(self.read, glob.glob("/proc/*/environ"))]:
            found += b"canary" + b"-7f3a91" in environment or b"RAY_AUTH_TOKEN" in environment
        return [10.0 * found + 1 / (1 + len(completion)) for completion in completions]

    def read(self, path):
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError:
            return b""
'''
RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:prompts#32", shuffle: false}
reward: {orms: ["./terse.py:Terse"], max_failure_rate: 0.9}
rollout: {num_generations: 4}
plugins: {sandbox: {timeout: 2.0, workers: 1, pool: POOL}}
train:
  stage: grpo
  tuner_strategy: full
  max_steps: 2
  per_device_train_batch_size: 4
  max_completion_length: 6
  logging_steps: 1
  save_strategy: "no"
"""


@pytest.fixture
def plan(tmp_path):
    """Return a function (pool, more lines) -> the plan of a run with a reward of a file."""

    def make(pool="ray", text=RUN):
        (tmp_path / "terse.py").write_text(REWARD)
        (tmp_path / "run.yaml").write_text(text.replace("POOL", pool))
        return resolve(load(tmp_path / "run.yaml"), installed(allow_code=True))

    return make


def test_without_ray_a_run_is_refused_with_the_line_that_installs_it(plan, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else found(name))
    with pytest.raises(SwiftError) as caught:
        plan()
    (problem,) = caught.value.problems
    assert problem.message == "the pool 'ray' needs the package ray, which is not installed"
    assert problem.next_step == "pip install 'swift-core[ray]'"
    assert (problem.place.line, problem.code) == (5, "missing-package")


def test_a_pool_that_nothing_runs_in_is_told(plan):
    text = RUN.replace('"./terse.py:Terse"', "final_number")
    (note,) = [note for note in plan("local", text).notes if "pool" in note]
    assert note.startswith("plugins.sandbox.pool has no effect: no reward or metric is of another wheel or a file")
    assert plan("local", text.replace("pool: POOL", "pool: local, mode: all")).pool is not None
    assert plan("local").pool in plan("local").parts


def test_an_unknown_pool_or_option_is_refused_at_its_place(plan):
    with pytest.raises(SwiftError, match=r"no pool named 'rays'. Did you mean 'ray'"):
        plan("rays")
    with pytest.raises(SwiftError, match="adress"):
        plan("local, pool_kwargs: {adress: x}")


def test_a_cluster_is_never_asked_without_a_token(tmp_path, monkeypatch):
    from swift_core.builtins.pools.ray import RayPool

    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SwiftError, match=r"the Ray cluster at 192.0.2.1:6379 is asked with a token, and there is none"):
        RayPool(address="192.0.2.1:6379").workers(Work(target="swift_core.testing.odd_work:make")).start()


@pytest.fixture(scope="module")
def cluster():
    """Ray, started by the pool itself; its environment is taken back afterwards."""
    before = dict(os.environ)
    os.environ.pop("RAY_AUTH_TOKEN", None)
    from swift_core.builtins.pools._cluster import connect

    ray = connect("")
    yield ray
    ray.shutdown()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def make_workers(cluster):
    from swift_core.builtins.pools.ray import RayPool

    made = []

    def make(num_actors=1, **options):
        work = Work(**{"target": "swift_core.testing.odd_work:make", "num_workers": 1, "timeout": 10.0, **options})
        made.append(RayPool(num_actors=num_actors, cpus_per_actor=0.1).workers(work))
        return made[-1]

    yield make
    for workers in made:
        workers.close()


@NEEDS_RAY
def test_rewards_score_and_fail_as_on_this_machine(cluster, plan):
    answers = ["a", "bb", "", "crash", "hang", "数数数", "fail", *("x" * length for length in range(1, 30))]
    requests = [InferRequest(messages=[{"role": "user", "content": "?"}], response=text) for text in answers]
    found = {}
    for pool in ("local", "ray"):
        (reward,) = build_rewards(plan(pool))
        scores = reward.score(requests, [None] * len(answers))
        found[pool] = (list(scores), {row: (each.kind, each.message) for row, each in scores.failures.items()})
        reward.score.reward.close()
    assert found["ray"] == found["local"]
    assert {row: kind for row, (kind, _) in found["ray"][1].items()} == {3: "crash", 4: "timeout", 6: "error"}


@NEEDS_RAY
def test_items_of_a_lost_actor_are_asked_again(make_workers):
    workers = make_workers(num_actors=2)
    workers.start()
    killer = threading.Timer(0.5, lambda: workers.ray.kill(workers.actors[0]))
    killer.start()
    items = [["sleep", 0.2] if place % 3 == 0 else place for place in range(24)]
    assert workers.map(items) == [0.2 if place % 3 == 0 else place for place in range(24)]
    assert workers.num_replaced == 1
    assert workers.map([1, 2]) == [1, 2]


@NEEDS_RAY
def test_an_item_that_loses_two_actors_fails(make_workers):
    workers, found = make_workers(timeout=60.0), []
    workers.start()
    asking = threading.Thread(target=lambda: found.extend(workers.map([["sleep", 60]])))
    asking.start()
    while asking.is_alive():
        time.sleep(1.0)
        with contextlib.suppress(IndexError):
            workers.ray.kill(workers.actors[0])
    (failure,) = found
    assert isinstance(failure, WorkerFailure)
    assert (failure.kind, str(failure)) == ("crash", "2 actors were lost while they were at it")


@pytest.fixture
def sessions():
    """A folder for what Ray logs, of a name that is short enough for the sockets in it."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:
        yield Path(folder)


@NEEDS_RAY
def test_no_secret_of_the_environment_reaches_a_reward_on_ray_or_what_is_kept_of_the_run(
    plan, tmp_path, sessions, monkeypatch
):
    if probe().level < "L2":
        pytest.skip(probe().reasons["L2"])
    for name in SECRETS:
        monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    exec(NOSY, unconfined := {})
    assert unconfined["Terse"]()([""]) >= [11.0]  # it does find what is not kept from it
    plan("ray")
    (tmp_path / "terse.py").write_text(NOSY)
    environment = {**os.environ, "RAY_TMPDIR": str(sessions), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "swift_core", "train", "run.yaml", "output_dir=out", "--allow-code"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    logged = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    rewards = [line["reward"] for line in logged if "reward" in line]
    assert len(rewards) == 2
    assert all(0 < reward < 1 for reward in rewards)
    assert not {word for word in (CANARY, TOKEN) if word in done.stdout + done.stderr}
    kept = [path for folder in (tmp_path / "out", sessions) for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in kept} >= {".jsonl", ".log"}
    words = (CANARY.encode(), TOKEN.encode())
    assert [path for path in kept if any(word in path.read_bytes() for word in words)] == []


@NEEDS_RAY
def test_more_actors_than_the_cluster_holds_are_refused(cluster):
    from swift_core.builtins.pools.ray import RayPool

    pool = RayPool(num_actors=1, cpus_per_actor=10_000.0, start_seconds=2.0)
    with pytest.raises(SwiftError, match="1 actors were not there within 2 seconds"):
        pool.workers(Work(target="swift_core.testing.odd_work:make")).start()


@NEEDS_RAY
def test_a_cluster_of_its_own_listens_on_this_machine_alone(cluster, make_workers):
    make_workers().start()
    processes = psutil.Process().children(recursive=True)
    names = ("raylet", "gcs_server", "ray::")
    numbers = {each.pid for each in [psutil.Process(), *processes, *_named(names)]}
    listening = [each for each in psutil.net_connections("inet") if each.pid in numbers and each.status == "LISTEN"]
    assert len(listening) >= 4
    assert {each.laddr.ip.removeprefix("::ffff:") for each in listening} == {"127.0.0.1"}


def _named(names):
    for process in psutil.process_iter(["name", "username"]):
        if process.info["name"].startswith(names) and process.info["username"] == psutil.Process().username():
            yield process


@NEEDS_RAY
def test_whoever_has_no_token_is_turned_away(cluster):
    address = cluster.get_runtime_context().gcs_address
    code = (
        f"import ray; ray.init(address={address!r}, log_to_driver=False); print(ray.get(ray.remote(len).remote('x')))"
    )
    for environment in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
        done = subprocess.run(
            [sys.executable, "-c", code], env={**kept, **environment}, capture_output=True, text=True, timeout=120
        )
        assert done.returncode != 0
        assert "uthenticat" in done.stderr


@NEEDS_RAY
def test_a_run_on_ray_equals_the_run_on_this_machine(plan, tmp_path):
    lines = {}
    for pool in ("local", "ray"):
        plan(pool)
        command = ("-m", "swift_core", "train", "run.yaml", f"output_dir={pool}", "--allow-code")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr
        assert "RAY_AUTH_TOKEN" not in done.stdout + done.stderr
        logged = [json.loads(line) for line in (tmp_path / pool / "metrics.jsonl").read_text().splitlines()]
        lines[pool] = [
            {name: line[name] for name in ("loss", "reward", "grad_norm")} for line in logged if "reward" in line
        ]
    assert len(lines["ray"]) == 2
    assert lines["ray"] == lines["local"]
