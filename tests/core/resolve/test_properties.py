"""Whatever a well-formed run file asks for, resolving it gives a plan or problems, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swift_core.config.load import parse
from swift_core.contracts.handover import RunPlan
from swift_core.contracts.plan_json import plan_dict
from swift_core.errors import SwiftError
from swift_core.plugins.registry import installed
from swift_core.resolve.explain import explain
from swift_core.resolve.machine import Machine
from swift_core.resolve.plan import resolve

NAMES = st.text(max_size=6) | st.sampled_from(
    ["dpo", "sft", "simpo", "adamw", "galore_adamw", "lora", "full", "linear", "auto", "math", "./x.py:A", "a:b:c", ":",
     "swift-core:adamw", "..", "./", "./.py:", "~", "demo:tiny", "demo:", "#3", "a#b#1", "gguf:", "gguf:package:",
     "a/b", "//", "\u00e9"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
OPTION_NAMES = ["beta", "lr", "rank", "betas", "eps", "weight_decay", "lora_rank", "target_modules"]
OPTIONS = st.dictionaries(st.sampled_from(OPTION_NAMES) | st.text(max_size=4), VALUES, max_size=4)
TRAIN = st.fixed_dictionaries(
    {},
    optional={
        "stage": NAMES,
        "loss_type": NAMES,
        "loss_kwargs": OPTIONS,
        "optimizer_type": NAMES,
        "optimizer_kwargs": OPTIONS,
        "tuner_strategy": NAMES,
        "tuner_kwargs": OPTIONS,
        "lr_scheduler_type": NAMES,
        "callbacks": st.lists(NAMES, max_size=2),
        "metrics": st.lists(NAMES, max_size=2),
        "beta": st.floats(0, 1),
        "lora_rank": st.integers(-2, 9),
        "learning_rate": st.floats(1e-9, 1),
        "adam_beta1": st.floats(0, 0.99),
        "report_to": st.lists(NAMES, max_size=1),
    },
)
MODEL = {"hub": NAMES, "chat_template": NAMES, "ref_model_id": NAMES}
PLUGINS = {key: st.lists(NAMES, max_size=2) for key in ("allow", "block", "require", "enable")}
REST = st.fixed_dictionaries(
    {
        "model": st.fixed_dictionaries({"model_id": NAMES}, optional=MODEL),
        "data": st.fixed_dictionaries({"dataset": NAMES | st.lists(NAMES, min_size=1)}, optional={"format": NAMES}),
    },
    optional={
        "device": st.fixed_dictionaries({}, optional={"num_gpus": st.integers(1, 5), "use_cpu": st.booleans()}),
        "plugins": st.fixed_dictionaries({}, optional=PLUGINS),
        "reward": st.fixed_dictionaries({"orms": st.lists(NAMES, max_size=2)}),
    },
)


def plan_or_problems(text: str, path: Path, num_gpus: int = 0) -> RunPlan | SwiftError:
    """Return what comes of a run file; anything but these two is raised and fails the test."""
    try:
        return resolve(parse(text, path), installed(), machine=Machine(num_gpus=num_gpus))
    except SwiftError as error:
        return error


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty folder for the run file."""
    return tmp_path_factory.mktemp("run")


@given(train=TRAIN, rest=REST, num_gpus=st.integers(0, 2))
@settings(max_examples=150, deadline=None)
def test_any_run_file_gives_a_plan_or_problems(
    folder: Path, train: object, rest: dict[str, object], num_gpus: int
) -> None:
    outcome = plan_or_problems(json.dumps({**rest, "train": train}), folder / "run.yaml", num_gpus)

    if isinstance(outcome, SwiftError):
        assert all(problem.message for problem in outcome.problems)
    else:
        assert json.loads(json.dumps(plan_dict(outcome)))["format"] == 1
        assert explain(outcome)


@given(train=TRAIN)
@settings(max_examples=100, deadline=None)
def test_any_train_section_gives_a_plan_or_problems(folder: Path, train: object) -> None:
    text = json.dumps({"model": {"model_id": "demo:tiny"}, "data": {"dataset": "demo:preference"}, "train": train})

    outcome = plan_or_problems(text, folder / "run.yaml")

    if isinstance(outcome, SwiftError):
        assert all(problem.message for problem in outcome.problems)
    else:
        assert outcome.optimizer.options["lr"] == outcome.settings.train.learning_rate
