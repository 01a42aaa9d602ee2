from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_core.contracts.plugin import OptionSpec, PluginSource
from swift_core.plugins.building import OptionError
from swift_core.plugins.checking import check_options, check_value
from swift_core.plugins.options import build, prepared
from swift_core.plugins.registry import PluginError

if TYPE_CHECKING:
    from nowhere import Unknown

NUMBER, INTEGER, STRING = {"type": "number"}, {"type": "integer"}, {"type": "string"}
WARMUP = {
    "type": "object",
    "properties": {"steps": INTEGER, "shape": {"enum": ["cosine", "linear"]}},
    "required": ["steps"],
    "additionalProperties": False,
}


def source(required=(), **schemas):
    options = tuple(OptionSpec(name, "", schema, required=name in required) for name, schema in schemas.items())
    return PluginSource(summary="", options=options, file="", line=0, positional=("params",))


@pytest.mark.parametrize(
    ("schema", "value", "message", "suggestion"),
    [
        (NUMBER, "0.1", "x must be a number, got '0.1'", "Write 0.1 without quotes."),
        (NUMBER, "high", "x must be a number, got 'high'", ""),
        (NUMBER, None, "x must be a number, got null", ""),
        (NUMBER, True, "x must be a number, got true", ""),
        (INTEGER, 1.5, "x must be an integer, got 1.5", ""),
        ({"type": "boolean"}, "no", "x must be true or false, got 'no'", "Write false without quotes."),
        ({"type": "boolean"}, 1, "x must be true or false, got 1", ""),
        (STRING, 3, "x must be a string, got 3", "Write '3' in quotes."),
        (STRING, False, "x must be a string, got false", "Write 'false' in quotes."),
        ({"type": "string", "format": "path"}, [], "x must be a path, got []", ""),
        ({"type": "array", "items": INTEGER}, 3, "x must be a list, each member an integer, got 3", "Write [3]."),
        ({"type": "object"}, "a", "x must be a mapping, got 'a'", ""),
        ({"enum": ["mean", "sum"]}, "meen", "x must be 'mean' or 'sum', got 'meen'", "Did you mean 'mean'?"),
        ({"enum": [1, 2]}, True, "x must be 1 or 2, got true", ""),
        ({"anyOf": [NUMBER, {"type": "null"}]}, "a", "x must be a number or null, got 'a'", ""),
    ],
)
def test_a_wrong_value_is_said_with_what_is_wanted(schema, value, message, suggestion):
    (mistake,) = check_options(source(x=schema), {"x": value})
    assert (mistake.path, mistake.message, mistake.suggestion) == (("x",), message, suggestion)
    assert mistake.code == "wrong-option"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (NUMBER, 1),
        (NUMBER, float("inf")),
        (INTEGER, 100.0),
        ({}, object()),
        ({"anyOf": [NUMBER, {"type": "null"}]}, None),
        ({"type": "array", "items": [NUMBER, STRING], "minItems": 2, "maxItems": 2}, (1.0, "a")),
        ({"type": "object", "additionalProperties": NUMBER}, {"a": 1}),
        (WARMUP, {"steps": 3}),
    ],
)
def test_a_right_value_is_taken(schema, value):
    assert check_options(source(x=schema), {"x": value}) == []


def test_every_mistake_of_nested_options_has_its_path():
    given_options = {"x": {"steps": "a", "shape": "cosin", "stepz": 1}, "y": [1, "b"], "z": {}}
    schemas = {"x": WARMUP, "y": {"type": "array", "items": NUMBER}, "z": {"anyOf": [WARMUP, {"type": "null"}]}}
    found = check_options(source(**schemas), given_options)
    assert [(mistake.path, mistake.code) for mistake in found] == [
        (("x", "steps"), "wrong-option"),
        (("x", "shape"), "wrong-option"),
        (("x", "stepz"), "unknown-option"),
        (("y", "1"), "wrong-option"),
        (("z", "steps"), "missing-option"),
    ]
    assert found[2].message == "there is no option 'x.stepz'; the options are steps, shape"
    assert found[2].suggestion == "Did you mean 'steps'?"


def test_a_list_of_the_wrong_length_says_how_long_it_must_be():
    pair = {"type": "array", "items": [NUMBER, NUMBER], "minItems": 2, "maxItems": 2}
    assert [m.message for m in check_options(source(x=pair), {"x": [1]})] == ["x must have 2 members, got 1"]


def test_unknown_missing_and_positional_options_are_told_apart():
    found = check_options(source(required=("rank",), rank=INTEGER, beta=NUMBER), {"beat": 1, "params": []})
    assert [(mistake.code, mistake.message) for mistake in found] == [
        ("unknown-option", "there is no option 'beat'; the options are rank, beta"),
        (
            "unknown-option",
            "'params' is a positional parameter of the plugin; only keyword-only ones (after `*`) are options",
        ),
        ("missing-option", "the option 'rank' is required (an integer)"),
    ]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, width=16)
    | st.sampled_from(["a", "mean", ""]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["steps", "shape", "b"]), inner, max_size=3)
    ),
    max_leaves=6,
)
schemas = st.recursive(
    st.sampled_from(
        [{}, NUMBER, INTEGER, STRING, {"type": "boolean"}, {"type": "null"}, {"enum": ["mean", 1]}, WARMUP]
    ),
    lambda inner: (
        inner.map(lambda items: {"type": "array", "items": items})
        | st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches})
        | inner.map(lambda values: {"type": "object", "additionalProperties": values})
    ),
    max_leaves=4,
)


@given(schemas, json_values)
def test_a_value_is_right_exactly_when_it_is_valid_json_of_the_schema(schema, value):
    assert (not check_value(schema, value, ("x",))) is jsonschema.Draft7Validator(schema).is_valid(value)


@dataclass(frozen=True, kw_only=True)
class Warmup:
    steps: int
    shape: Literal["cosine", "linear"] = "cosine"

    def __post_init__(self):
        if self.steps < 0:
            raise ValueError(f"steps must be >= 0, got {self.steps}")


@dataclass(frozen=True, kw_only=True)
class Plugin:
    beta: float = 0.1
    betas: tuple[float, float] = (0.9, 0.999)
    out: Path | None = None
    warmup: Warmup | None = None
    stages: list[Warmup] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    odd: Unknown = None

    def __post_init__(self):
        if self.beta <= 0:
            raise ValueError(f"beta must be > 0, got {self.beta}")


def test_building_converts_plain_data_to_the_types_of_the_constructor():
    options = {
        "beta": 1,
        "betas": [0, 1],
        "out": "x/y",
        "warmup": {"steps": 3.0},
        "stages": [{"steps": 1, "shape": "linear"}],
        "weights": {"a": 1},
        "names": ["a"],
        "odd": {"any": "thing"},
    }
    plugin = build(Plugin, options)
    assert plugin == Plugin(
        beta=1.0,
        betas=(0.0, 1.0),
        out=Path("x/y"),
        warmup=Warmup(steps=3),
        stages=[Warmup(steps=1, shape="linear")],
        weights={"a": 1.0},
        names=frozenset({"a"}),
        odd={"any": "thing"},
    )
    assert [type(value) for value in (plugin.beta, plugin.betas[0], plugin.warmup.steps)] == [float, float, int]


def test_building_checks_everything_again():
    with pytest.raises(OptionError) as caught:
        build(Plugin, {"beta": "x", "betas": [1], "warmup": {"steps": 1, "form": 1}, "bet": 1})
    assert [mistake.path for mistake in caught.value.mistakes] == [("beta",), ("betas",), ("warmup", "form"), ("bet",)]
    assert caught.value.problems[0].message == "Plugin: beta must be a number, got 'x'."


def test_a_refusal_of_the_constructor_is_told_at_its_option():
    with pytest.raises(OptionError, match=r"Plugin: beta must be > 0, got -1.0") as caught:
        build(Plugin, {"beta": -1.0})
    assert [mistake.path for mistake in caught.value.mistakes] == [("beta",)]


def test_a_refusal_of_a_nested_constructor_is_told_at_its_option():
    with pytest.raises(OptionError, match=r"warmup: steps must be >= 0, got -1") as caught:
        build(Plugin, {"warmup": {"steps": -1}})
    assert [mistake.path for mistake in caught.value.mistakes] == [("warmup",)]


def test_a_constructor_that_fails_is_a_broken_plugin_with_its_cause():
    class Broken:
        def __init__(self, *, a: int = 1):
            raise KeyError("oops")

    with pytest.raises(PluginError, match="Broken cannot be built: KeyError: 'oops'") as caught:
        build(Broken, {})
    assert caught.value.code == "broken-plugin"
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_function_gets_its_options_bound_and_is_itself_without():
    def reward(completions, *, weight: float = 1.0):
        return [weight for _ in completions]

    assert build(reward, {}) is reward
    assert build(reward, {"weight": 2})(["a"]) == [2.0]
    with pytest.raises(OptionError, match="there is no option 'wait'"):
        build(reward, {"wait": 1})


def test_a_module_is_a_plugin_without_options():
    import math

    assert build(math, {}) is math
    with pytest.raises(OptionError, match="math: there is no option 'a'"):
        build(math, {"a": 1})


def test_prepared_options_go_to_a_factory_with_live_objects():
    def optimizer(params, *, lr: float = 1.0, betas: tuple[float, float] = (0.0, 0.0)):
        return params, lr, betas

    assert optimizer("params", **prepared(optimizer, {"lr": 1, "betas": [1, 2]})) == ("params", 1.0, (1.0, 2.0))


def test_a_constructor_that_takes_anything_is_given_anything():
    class Loose:
        def __init__(self, **options):
            self.options = options

    assert build(Loose, {"a": 1}).options == {"a": 1}
