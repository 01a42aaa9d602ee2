"""Against the real package where it is installed; without it, that the reward says what to install."""

import importlib
import json
import time
import warnings
from importlib.util import find_spec

import pytest

from swift_core.assemble.rewards import adapt_reward
from swift_core.plugin_api import InferRequest, RewardInputs, WorkerPool
from swift_reward_zoo.answer import reasoning_gym
from swift_reward_zoo.answer._reasoning_gym_tasks import REFUSED, SOUND
from swift_reward_zoo.answer.reasoning_gym import ReasoningGym

LINE = r"^reasoning_gym needs reasoning-gym: pip install 'swift-reward-zoo\[reasoning_gym\]'$"
NONSENSE = [
    "",
    "zzz",
    "0",
    "1",
    "-1",
    "[]",
    "{}",
    "null",
    "nan",
    "1e999",
    "[[",
    "[[[1]]]",
    "a\nb",
    "9" * 500,
    "\0\u2603",
]
NONSENSE += ["(" * 50, "1/0", '{"a": 1}', "\ud800", "x = y", "True", "yes", "0 0\n0 0", " "]

real = pytest.mark.skipif(find_spec("reasoning_gym") is None, reason="reasoning-gym is not installed")


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """A package of that name whose scorer knows one task, so that the way to it is tested everywhere."""
    (tmp_path / "reasoning_gym").mkdir()
    (tmp_path / "reasoning_gym" / "__init__.py").write_text("")
    (tmp_path / "stub_gym.py").write_text(
        """
import time

def make(options):
    def score(item):
        given, entry = item["answer"], item["entry"]
        if given == "hang":
            time.sleep(60)
        if given == "raise":
            raise RuntimeError("no")
        if given == "most":
            return 1.2
        return 1.0 if given == entry["answer"] else 0.05 * entry["metadata"]["floor"]
    return score
"""
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    pool = WorkerPool("stub_gym:make", num_workers=2)
    monkeypatch.setattr(reasoning_gym, "POOL", pool)
    yield
    pool.close()


def columns(count, **metadata):
    return {"metadata": [{"source_dataset": "leg_counting", "floor": 1} | metadata] * count, "answer": ["8"] * count}


def requests(*responses):
    return [InferRequest(messages=[], response=response) for response in responses]


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(reasoning_gym, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=LINE):
        ReasoningGym()


@pytest.mark.skipif(find_spec("reasoning_gym") is not None, reason="reasoning-gym is installed")
def test_a_run_that_names_it_without_the_package_is_refused_with_the_line(tmp_path):
    from swift_core.assemble.rewards import build_rewards
    from swift_core.config.load import load
    from swift_core.errors import SwiftError
    from swift_core.plugins.registry import installed
    from swift_core.resolve.plan import resolve

    run = tmp_path / "run.yaml"
    run.write_text(
        "model: {model_id: demo:tiny}\ndata: {dataset: demo:chat, val_dataset: demo:chat-heldout}\n"
        "train: {stage: sft, metrics: [orm_accuracy]}\nreward: {orms: [reasoning_gym]}\n"
    )
    with pytest.raises(SwiftError, match=r"pip install 'swift-reward-zoo\[reasoning_gym\]'"):
        build_rewards(resolve(load(run), installed()))


def test_full_marks_alone_are_paid(stub):
    answers = requests("8", "<think>7</think><answer> 8 </answer>", "9", "most", "", "<think>8")
    assert ReasoningGym()(answers, **columns(6)) == [1.0, 1.0, 0.0, 1.0, 0.0, 0.0]


def test_partial_marks_are_paid_on_request_and_stay_within_one(stub):
    assert ReasoningGym(partial=True)(requests("8", "9", "most", ""), **columns(4)) == [1.0, 0.05, 1.0, 0.0]


def test_a_scorer_that_hangs_or_fails_costs_its_own_answer(stub):
    reward = adapt_reward("reasoning_gym", ReasoningGym(timeout=0.5))
    start = time.monotonic()
    inputs = RewardInputs(requests(*["8", "hang", "9", "8", "raise", "8"] * 2), [None] * 12, columns(12))
    scores = reward.reward(inputs.infer_requests, **inputs.columns)
    assert scores == [1.0, None, 0.0, 1.0, None, 1.0] * 2
    assert time.monotonic() - start < 4.0


def test_metadata_may_be_json_and_the_answer_the_ground_truth(stub):
    told = json.dumps(columns(1)["metadata"][0])
    assert ReasoningGym()(requests("8"), metadata=[told], ground_truth=["8"]) == [1.0]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, r"^metadata of row 1 is None, not that of an entry of reasoning-gym$"),
        ("{", r"^metadata of row 1 is '\{', not that of an entry"),
        ({}, r"^metadata of row 1 names no task in source_dataset: \{\}$"),
        ({"source_dataset": "n_queens"}, r"^row 1 is of the task 'n_queens', which is not scored: its scorer runs the"),
        ({"source_dataset": "nonsense"}, r"^row 1 is of the task 'nonsense', which is not scored: it is no task that"),
    ],
)
def test_a_row_that_is_no_entry_of_a_sound_task_is_named(stub, metadata, message):
    good = columns(1)["metadata"][0]
    with pytest.raises(ValueError, match=message):
        ReasoningGym()(requests("8", "8"), metadata=[good, metadata], answer=["8", "8"])


@pytest.mark.parametrize("truth", [None, "", 8])
def test_a_row_without_its_answer_is_named(stub, truth):
    with pytest.raises(ValueError, match=r"^answer of row 1 is .*, not an answer of reasoning-gym$"):
        ReasoningGym()(requests("8", "8"), metadata=columns(2)["metadata"], answer=["8", truth])


def test_without_answers_and_ground_truths_the_column_is_named(stub):
    with pytest.raises(ValueError, match=r"^reasoning_gym needs a column `answer`, or ground truths"):
        ReasoningGym()(requests("8"), metadata=columns(1)["metadata"])


def test_no_task_is_both_sound_and_refused():
    assert not SOUND & set(REFUSED)


@pytest.fixture(scope="module")
def entries():
    """Return a function from a task to entries of the real package, as JSON brings them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = importlib.import_module("reasoning_gym")

    def some(task, count=3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [json.loads(json.dumps(entry)) for entry in package.create_dataset(task, seed=11, size=count)]

    return some


@real
def test_every_task_of_the_package_was_looked_at(entries):
    assert set(importlib.import_module("reasoning_gym.factory").DATASETS) == SOUND | set(REFUSED)


@real
@pytest.mark.slow
@pytest.mark.parametrize("task", sorted(SOUND))
def test_a_sound_task_pays_its_own_answer_and_no_nonsense(entries, task):
    for entry in entries(task):
        hedged = [f"The answer is {entry['answer']}", f"{entry['answer']} or {entry['answer']}1"]
        others = [text for text in [*NONSENSE, *hedged] if not _same(text, entry["answer"])]
        scores = ReasoningGym(timeout=5.0)(
            requests(entry["answer"], *others),
            metadata=[entry["metadata"]] * (1 + len(others)),
            answer=[entry["answer"]] * (1 + len(others)),
        )
        assert scores == [1.0] + [0.0] * len(others)


def _same(first, second):
    """Say whether two texts are one answer: the same, or the same number."""
    try:
        return first.strip() == second.strip() or float(first) == float(second)
    except ValueError:
        return False


@real
def test_an_answer_that_is_code_is_not_run(entries, tmp_path):
    marker = tmp_path / "was_here"
    attack = f"__import__('pathlib').Path({str(marker)!r}).write_text('x')"
    tasks = ("leg_counting", "polynomial_equations", "pool_matrix", "codeio", "jugs")
    for entry in [one for task in tasks for one in entries(task, 1)]:
        scores = ReasoningGym()(requests(attack), metadata=[entry["metadata"]], answer=[entry["answer"]])
        assert scores == [0.0]
    assert not marker.exists()
