"""No text and no override gives anything but a RunConfig or a SwiftError with readable problems."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from swift_core.config.load import parse
from swift_core.config.suggest import sections
from swift_core.contracts.handover import RunConfig
from swift_core.errors import SwiftError

HERE = Path("run.yaml")
MINIMAL = "model: {model_id: demo:tiny}\ndata: {dataset: demo:chat}\n"
KEYS = sorted({key for keys in sections().values() for key in keys} | {"lr", "beta", "lora_rank", "num_gpus", "name"})
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["demo:tiny", "demo:chat", "dpo", "a#0", "./x.py:A"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
FRAGMENTS = st.sampled_from(
    ["model:", "data:", "train:", "  ", "\t", "- ", "{", "}", "[", "]", ": ", "&a ", "*a", "<<: ", "'", '"', "|", ">",
     "!!map ", "%YAML 1.1", "---", "...", "?", "#", "\n", "1e-4", "no", "~", "model_id", "demo:tiny", "\x00", "\ufeff",
     "\u2028", "é"]
)  # fmt: skip


def read(text: str, *overrides: str) -> RunConfig | SwiftError:
    """Return what reading gives; anything but these two is raised and fails the test."""
    try:
        return parse(text, HERE, overrides)
    except SwiftError as error:
        for problem in error.problems:
            lines = problem.render().splitlines()
            assert problem.message
            assert len(lines) <= 4, lines
            assert problem.place is None or (problem.place.line >= 1 and problem.place.column >= 1)
        return error


@given(st.text(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_text_gives_a_config_or_problems(text: str) -> None:
    read(text)


@given(st.lists(FRAGMENTS, max_size=25).map("".join))
@settings(max_examples=300, deadline=None)
def test_any_yaml_like_text_gives_a_config_or_problems(text: str) -> None:
    read(text)
    read(MINIMAL + text)


@given(
    st.dictionaries(st.sampled_from(["model", "data", "train", "reward", "device", "plugins", "output_dir"]), VALUES)
)
@settings(max_examples=200, deadline=None)
def test_any_mapping_gives_a_config_or_problems(mapping: dict[str, object]) -> None:
    read(json.dumps(mapping))


@given(
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4), st.sampled_from(["train", "model", "data", "device"])
)
@settings(max_examples=200, deadline=None)
def test_any_section_gives_a_config_or_problems(section: dict[str, object], name: str) -> None:
    read(json.dumps({"model": {"model_id": "demo:tiny"}, "data": {"dataset": "demo:chat"}, name: section}))


@given(
    st.text(max_size=30)
    | st.tuples(st.sampled_from(KEYS), VALUES.map(json.dumps)).map(lambda p: f"train.{p[0]}={p[1]}")
)
@settings(max_examples=200, deadline=None)
def test_any_override_gives_a_config_or_problems(override: str) -> None:
    read(MINIMAL + "train: {callbacks: [a], loss_kwargs: {beta: 1}}\n", override)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=1e-12, max_value=1e6))
def test_a_number_that_is_written_comes_back(value: float) -> None:
    config = read(MINIMAL + f"train: {{learning_rate: {value!r}}}\n")

    assert isinstance(config, RunConfig)
    assert config.settings.train.learning_rate == value


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff\u2028\u2029\x85"), min_size=1))
@settings(deadline=None)
def test_text_that_is_written_comes_back(value: str) -> None:
    quoted = json.dumps(value, ensure_ascii=False)
    config = read(f"model: {{model_id: demo:tiny}}\ndata: {{dataset: demo:chat, system: {quoted}}}\n")

    assert isinstance(config, RunConfig), config
    assert config.settings.data.system == value
