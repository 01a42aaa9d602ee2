"""Rewards and metrics of others, in processes of their own: the same figures as here, and nothing else."""

import json
import os
import sys

import pytest

from swift_core.assemble.apart import (
    ApartMetric,
    ask_about_files,
    build_metrics,
    check_sandbox,
    in_process_step,
    runs_apart,
)
from swift_core.assemble.rewards import adapt_reward, build_rewards
from swift_core.config.load import load
from swift_core.contracts.metric import Generations
from swift_core.contracts.reward import InferRequest, RewardInputs
from swift_core.errors import SwiftError
from swift_core.plugins.building import build
from swift_core.plugins.registry import Registry, installed
from swift_core.resolve.plan import resolve
from swift_core.sandbox.levels import require_everywhere, required
from swift_core.sandbox.probe import Probe, probe

PLUGINS = '''
import os
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Brevity:
    """Short answers."""

    num_words: int = 2

    def __call__(self, completions, level=None):
        return [None if not c.strip() else min(1.0, self.num_words / len(c.split())) for c in completions]


class Exact:
    """Equal to the truth."""

    scope = "sample"

    def __call__(self, infer_requests, ground_truths, *, bonus):
        if "" in ground_truths:
            raise ValueError("there is no truth")
        rows = zip(infer_requests, ground_truths, bonus, strict=True)
        return [float(r.response == t) + b * len(r.messages) for r, t, b in rows]


class Centred:
    """Relative to the batch."""

    scope = "batch"

    def __call__(self, completions):
        mean = sum(map(len, completions)) / len(completions)
        return [len(c) - mean for c in completions]


class Odd:
    """Hangs, crashes and fails."""

    def __call__(self, completions):
        for completion in completions:
            if completion == "hang":
                while True:
                    pass
            if completion == "crash":
                os.abort()
            if completion == "fail":
                raise KeyError("x")
        return [1.0] * len(completions)


class SampleOdd(Odd):
    """The same, one answer at a time."""

    scope = "sample"


class Nothing:
    """Returns what is no score."""

    def __call__(self, completions):
        return [float("nan")] * len(completions)


class Where:
    """Its process."""

    def __call__(self, completions):
        return [float(os.getpid())] * len(completions)


class Thief:
    """Reads what it must not."""

    def __call__(self, completions):
        return [float(len(open(os.path.join(os.path.dirname(__file__), "secret.txt")).read()))] * len(completions)


async def later(completions):
    """Answer later."""
    return [2.0] * len(completions)


class Share:
    """The share of answers that the first reward likes."""

    eats = "generations"

    def compute(self, generations):
        scores = generations.rewards[0].score(generations.infer_requests, generations.ground_truths)
        return {"share": sum(s or 0 for s in scores) / len(scores), "expected": len(generations.expected)}


class Wrong:
    """Refuses."""

    eats = "generations"

    def compute(self, generations):
        raise ValueError("nothing to count")


class Logits:
    """Works on tensors, and does not say so in a way that can be read."""

    def __init__(self):
        self.eats = "predictions"

    def compute(self, predictions):
        return {}
'''

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:chat", val_dataset: "demo:chat-heldout"}
"""


@pytest.fixture
def plan_of(tmp_path, monkeypatch):
    """Return a maker of plans for a run file with some more lines, beside the file of plugins."""
    (tmp_path / "acme.py").write_text(PLUGINS)
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.chdir(tmp_path)

    def make(text):
        path = tmp_path / "run.yaml"
        path.write_text(RUN + text)
        return resolve(load(path), Registry(installed().found, allow_code=True), planning=True)

    yield make
    require_everywhere("L1")


def orm(name, kwargs="{}", more=""):
    return f'reward: {{orms: [{{name: "./acme.py:{name}", kwargs: {kwargs}}}], {more}}}\n'


def data(*responses, truths=None, **columns):
    requests = [
        InferRequest(messages=[{"role": "user", "content": "q"}, {"role": "assistant", "content": r}], response=r)
        for r in responses
    ]
    return RewardInputs(requests, truths or ["4"] * len(responses), columns)


def score_apart(plan, inputs):
    (part,) = build_rewards(plan)
    try:
        return part.score.score(inputs)
    finally:
        part.score.reward.close()


def in_process(plan, inputs):
    (part,) = plan.orms
    return adapt_reward("r", build(plan.load(part), part.options)).score(inputs)


@pytest.mark.parametrize(
    ("name", "kwargs", "inputs"),
    [
        ("Brevity", "{num_words: 3}", data("a b c", "a b c d e f", " ", "naïve 数学 \ud800 \0")),
        ("Exact", "{}", data("4", "5", "4", bonus=[0.5, 0.25, 0.0])),
        ("Centred", "{}", data("a", "abc", "abcde")),
        ("later", "{}", data("a", "b")),
        ("Brevity", "{}", data()),
    ],
)
def test_scores_are_those_of_this_process(plan_of, name, kwargs, inputs):
    plan = plan_of(orm(name, kwargs))
    scores = score_apart(plan, inputs)
    assert list(scores) == list(in_process(plan, inputs))
    assert scores.failures == {}


@pytest.mark.parametrize("text", ["name: format", "name: repetition", "{name: length, kwargs: {max_length: 10}}"])
def test_our_rewards_score_alike_when_they_are_told_to_run_apart(plan_of, text):
    pytest.importorskip("swift_reward_zoo")
    item = text if text.startswith("{") else f"{{{text}}}"
    plan = plan_of(f"reward: {{orms: [{item}]}}\nplugins: {{sandbox: {{mode: all}}}}\n")
    inputs = data("<think>so</think><answer>4</answer>", "4 4 4 4 4 4 4", "", "x" * 50)
    assert runs_apart(plan, plan.orms[0])
    assert list(score_apart(plan, inputs)) == list(in_process(plan, inputs))


@pytest.mark.parametrize(
    ("more", "apart"),
    [
        ("", True),
        ("plugins: {sandbox: {mode: 'off'}}", False),
        ("plugins: {sandbox: {in_process: [./acme.py]}}", False),
        ("plugins: {sandbox: {in_process: [acme.py]}}", False),
        ("plugins: {sandbox: {in_process: [./other.py]}}", True),
    ],
)
def test_a_reward_runs_in_another_process_unless_the_run_file_trusts_it(plan_of, more, apart):
    plan = plan_of(orm("Where") + more + "\n")
    (part,) = build_rewards(plan)
    (process,) = part.score.score(data("a"))
    assert (process != os.getpid()) is apart
    assert apart is runs_apart(plan, plan.orms[0])


def test_the_way_out_of_the_sandbox_is_one_that_works(plan_of, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "acme.py").write_text(PLUGINS)
    text = orm("Where").replace("./acme.py", "./parts/acme.py")
    plan = plan_of(text)
    told = in_process_step(plan, plan.orms[0]).removesuffix(" runs it with all your rights")
    assert told == "plugins: {sandbox: {in_process: [./parts/acme.py]}}"
    plan = plan_of(f"{text}{told}\n")
    assert not runs_apart(plan, plan.orms[0])


def test_what_runs_apart_is_not_imported_here(plan_of):
    plan = plan_of(orm("Brevity") + 'train: {metrics: ["./acme.py:Share"]}\n')
    before = set(sys.modules)
    ask_about_files(plan)
    build_rewards(plan)
    build_metrics(plan)
    assert not [name for name in set(sys.modules) - before if name.startswith("swift_file_")]


def test_ours_and_what_confines_itself_run_here(plan_of):
    pytest.importorskip("swift_reward_zoo")
    plan = plan_of("reward: {orms: [math, format]}\n")
    assert [runs_apart(plan, part) for part in plan.orms] == [False, False]
    plan = plan_of("reward: {orms: [math, format]}\nplugins: {sandbox: {mode: all}}\n")
    assert [runs_apart(plan, part) for part in plan.orms] == [False, True]


@pytest.mark.parametrize("name", ["Odd", "SampleOdd"])
def test_answers_that_hang_crash_or_fail_cost_themselves_alone(plan_of, name, caplog):
    more = "on_error: mask, max_failure_rate: 0.5"
    plan = plan_of(orm(name, more=more) + "plugins: {sandbox: {timeout: 0.5, workers: 2}}\n")
    scores = score_apart(plan, data("a", "hang", "b", "crash", "fail", "c", "d"))
    assert scores == [1.0, None, 1.0, None, None, 1.0, 1.0]
    assert {row: failure.kind for row, failure in scores.failures.items()} == {1: "timeout", 3: "crash", 4: "error"}
    assert ("scored singly" in caplog.text) is (name == "Odd")


def test_a_reward_over_the_batch_fails_as_a_whole(plan_of):
    plan = plan_of(orm("Centred", more="on_error: mask"))
    (part,) = build_rewards(plan)
    part.score.reward._pool.close()
    part.score.reward._pool._options = part.score.reward._pool._options.__class__(
        **{
            **{f: getattr(part.score.reward._pool._options, f) for f in ("target", "options", "readable")},
            "memory": 2**31,
            "reply_bytes": 300,
        }
    )
    with pytest.raises(SwiftError, match=r"failed on 200 of 200 answers.*an answer of \d+ bytes.*\(flood\)"):
        part.score.score(data(*["a" * n for n in range(200)]))


def test_broken_data_is_told_as_it_is_here(plan_of):
    plan = plan_of(orm("Exact"))
    inputs = data("4", "5", truths=["4", ""], bonus=[0.0, 0.0])
    with pytest.raises(SwiftError, match=r"reward 'Exact' of acme\.py: answer 1: there is no truth\."):
        score_apart(plan, inputs)
    with pytest.raises(ValueError, match=r"^there is no truth$"):
        in_process(plan, inputs)


def test_what_is_no_score_is_told_as_it_is_here(plan_of):
    plan = plan_of(orm("Nothing"))
    message = r"scored answer 0 as nan; a score is a finite number, or None to abstain"
    for scored, error in ((score_apart, SwiftError), (in_process, ValueError)):
        with pytest.raises(error, match=message):
            scored(plan, data("a"))


def test_a_missing_column_is_found_without_importing_the_reward(plan_of):
    with pytest.raises(
        SwiftError, match=r"reward 'Exact' of acme\.py asks for column 'bonus', which the data does not have"
    ):
        score_apart(plan_of(orm("Exact")), data("4"))


def test_a_column_that_cannot_be_sent_is_named_as_such(plan_of):
    with pytest.raises(
        SwiftError, match=r"reward 'Exact' of acme\.py runs in another process, and a column is no JSON: "
    ):
        score_apart(plan_of(orm("Exact")), data("4", bonus=[b"bytes"]))


def test_it_reads_only_what_the_run_file_lets_it(plan_of):
    if probe().level < "L2":
        pytest.skip(probe().reasons["L2"])
    with pytest.raises(SwiftError, match=r"(?s)PermissionError.*in_process: \[\./acme\.py\]"):
        score_apart(plan_of(orm("Thief")), data("a"))
    plan = plan_of(orm("Thief") + "plugins: {sandbox: {readable: [.]}}\n")
    assert score_apart(plan, data("a")) == [6.0]


def test_a_reward_that_cannot_start_is_told_at_its_place(plan_of, tmp_path):
    plan = plan_of(orm("Brevity"))
    (tmp_path / "acme.py").write_text("import module_that_is_not_there\n")
    with pytest.raises(SwiftError) as caught:
        build_rewards(plan)
    (problem,) = caught.value.problems
    assert problem.code == "broken-plugin"
    assert "does not start in its sandbox" in problem.message
    assert "No module named 'module_that_is_not_there'" in problem.message
    assert problem.place.line == 3


def test_a_level_that_is_not_reached_stops_the_run_with_the_reason(plan_of, monkeypatch):
    plan = plan_of("plugins: {sandbox: {require: L2}}\n")
    monkeypatch.setattr("swift_core.sandbox.probe.probe", lambda: Probe("L1", {"L2": "no Landlock in this kernel"}))
    with pytest.raises(SwiftError) as caught:
        check_sandbox(plan)
    (problem,) = caught.value.problems
    assert problem.code == "sandbox-unavailable"
    assert problem.message.startswith(
        "sandbox level L2 is required and this machine reaches L1: no Landlock in this kernel."
    )
    assert problem.place.line == 3
    assert required("L1") == "L2"


def test_a_metric_of_others_gives_the_figures_it_gives_here(plan_of):
    plan = plan_of(orm("Brevity") + 'train: {metrics: ["./acme.py:Share", "./acme.py:Wrong"]}\n')
    inputs = data("a b", "a b c d", "a")
    generations = Generations(inputs.infer_requests, inputs.ground_truths, ["4"] * 3, {}, build_rewards(plan))
    (_, share), (_, wrong) = build_metrics(plan)
    assert isinstance(share, ApartMetric)
    here = build(plan.load(plan.metrics[0]), {})
    assert share.compute(generations) == here.compute(generations) == {"share": (1 + 0.5 + 1) / 3, "expected": 3}
    with pytest.raises(ValueError, match=r"^nothing to count$"):
        wrong.compute(generations)


def test_a_metric_on_tensors_runs_here(plan_of):
    plan = plan_of('train: {metrics: ["./acme.py:Logits", acc]}\n')
    assert [metric.eats for _, metric in build_metrics(plan)] == ["predictions", "predictions"]


def test_settings_are_checked_with_their_places(plan_of):
    with pytest.raises(SwiftError) as caught:
        plan_of("plugins: {sandbox: {require: L4, tiemout: 3}}\n")
    text = json.dumps([problem.render() for problem in caught.value.problems])
    assert "Did you mean 'timeout'?" in text
