from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema
import pytest

from swift_core.contracts.plugin import PluginSpec
from swift_core.plugins.options import check_options, read_source
from swift_core.plugins.registry import PluginError

HEADER = """
from __future__ import annotations
import dataclasses
import pathlib
import typing as t
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Dict, List, Literal, Optional, Tuple, Union
"""


@pytest.fixture
def read(file_spec):
    """Read the plugin `Plugin` of a piece of source."""

    def read(source, name="Plugin", kind="loss"):
        import textwrap

        return read_source(file_spec(HEADER + textwrap.dedent(source), name, kind))

    return read


@pytest.fixture
def schema_of(read):
    def schema_of(annotation, preamble=""):
        source = f"{preamble}\nclass Plugin:\n    def __init__(self, *, x: {annotation}): ...\n"
        (option,) = read(source).options
        return dict(option.schema)

    return schema_of


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        ("bool", {"type": "boolean"}),
        ("int", {"type": "integer"}),
        ("float", {"type": "number"}),
        ("str", {"type": "string"}),
        ("'str'", {"type": "string"}),
        ("None", {"type": "null"}),
        ("Path", {"type": "string", "format": "path"}),
        ("pathlib.Path", {"type": "string", "format": "path"}),
        ("Literal['a', 1, True, None, -2]", {"enum": ["a", 1, True, None, -2]}),
        ("t.Literal['a']", {"enum": ["a"]}),
        ("list", {"type": "array"}),
        ("list[int]", {"type": "array", "items": {"type": "integer"}}),
        ("List['int']", {"type": "array", "items": {"type": "integer"}}),
        ("Sequence[str]", {"type": "array", "items": {"type": "string"}}),
        ("list[Any]", {"type": "array"}),
        ("tuple[int, ...]", {"type": "array", "items": {"type": "integer"}}),
        (
            "Tuple[float, str]",
            {"type": "array", "items": [{"type": "number"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        ),
        ("dict", {"type": "object"}),
        ("dict[str, float]", {"type": "object", "additionalProperties": {"type": "number"}}),
        ("Mapping[str, list[int]]", {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "integer"}},
        }),
        ("int | None", {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ("Optional[int]", {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ("Union[int, str, int]", {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        ("int | (str | None)", {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}),
        ("Annotated[int, 'tokens']", {"type": "integer"}),
        ("Any", {}),
        ("int | Any", {}),
        ("torch.dtype", {}),
        ("'not an expression ('", {}),
        ("Undefined[int]", {}),
        ("3", {}),
    ],
)  # fmt: skip
def test_an_annotation_becomes_a_json_schema(schema_of, annotation, schema):
    assert schema_of(annotation) == schema
    jsonschema.Draft7Validator.check_schema(schema)


def test_an_alias_in_the_module_is_followed(schema_of):
    assert schema_of("Mode", "Mode = Literal['mean', 'sum']") == {"enum": ["mean", "sum"]}


def test_an_alias_that_holds_itself_ends(schema_of):
    assert schema_of("Tree", "Tree = list['Tree']") == {"type": "array"}


def test_a_class_of_the_module_hides_the_builtin_name(schema_of):
    assert schema_of("Path", "class Path: ...") == {}


def test_a_nested_dataclass_becomes_an_object_that_allows_nothing_extra(schema_of):
    preamble = "@dataclass\nclass Warmup:\n    steps: int\n    '''How long.'''\n    shape: Literal['cos'] = 'cos'\n"
    assert schema_of("Warmup", preamble) == {
        "type": "object",
        "title": "Warmup",
        "properties": {"steps": {"type": "integer", "description": "How long."}, "shape": {"enum": ["cos"]}},
        "additionalProperties": False,
        "required": ["steps"],
    }


def test_a_dataclass_that_holds_itself_ends(schema_of):
    schema = schema_of("Node", "@dataclass\nclass Node:\n    next: Node | None = None\n")
    assert schema["properties"] == {"next": {}}


def test_a_dataclass_gives_its_fields_with_the_text_under_them(read):
    source = read(
        """
        @dataclass(frozen=True, kw_only=True)
        class Plugin:
            '''What it does.

            More.
            '''

            beta: float = 0.1
            '''Pull towards the reference,
            > 0.'''

            betas: tuple[float, float] = (0.9, 0.999)
            names: list[str] = field(default_factory=list)
            sizes: dict[str, int] = dataclasses.field(default_factory=lambda: {"a": 1})
            hidden: int = field(default=3, init=False)
            needed: int = field(repr=False)
            path: Path = Path("x/y")
            wide: InitVar[int] = 4
            family: ClassVar[str] = "pair"
            plain = 5
            _private: int = 1
        """
    )
    assert source.summary == "What it does."
    assert [(o.name, o.required, o.default) for o in source.options] == [
        ("beta", False, 0.1),
        ("betas", False, [0.9, 0.999]),
        ("names", False, []),
        ("sizes", False, {"a": 1}),
        ("needed", True, None),
        ("path", False, "x/y"),
        ("wide", False, 4),
    ]
    assert source.options[0].help == "Pull towards the reference, > 0."
    assert source.declared == {"family": "pair", "plain": 5}
    assert json.dumps([o.default for o in source.options])


def test_fields_of_base_dataclasses_come_first_and_are_overridden(read):
    source = read(
        """
        @dataclass
        class Base:
            a: int = 1
            b: int = 2
        @dataclass
        class Plugin(Base):
            c: int = 3
            a: float = 4.0
        """
    )
    assert [(o.name, o.default, o.annotation) for o in source.options] == [
        ("a", 4.0, "float"),
        ("b", 2, "int"),
        ("c", 3, "int"),
    ]


def test_keyword_only_parameters_of_a_constructor_are_the_options(read):
    source = read(
        """
        LR = 1e-3
        class Plugin:
            def __init__(self, params, lr_old=1, *, lr: float = LR, scale: float = 2 * 3, names=("a",), **rest):
                '''Make it.

                Args:
                    params: Groups.
                    lr (float): Learning rate,
                        > 0.
                    scale: A factor: how much.

                Raises:
                    ValueError: never.
                '''
        """
    )
    assert [(o.name, o.annotation, o.default, o.help) for o in source.options] == [
        ("lr", "float", 0.001, "Learning rate, > 0."),
        ("scale", "float", None, "A factor: how much."),
        ("names", "", ["a"], ""),
    ]
    assert source.positional == ("params", "lr_old")


def test_an_inherited_constructor_and_call_are_read(read):
    source = read(
        """
        class Base:
            needs_reference = True
            def __init__(self, *, beta: float = 0.1): ...
            def __call__(self, outputs: "api.PairOutputs", labels=None, *, loss_scale=None): ...
        class Plugin(Base):
            couples_items: ClassVar[bool] = False
        """
    )
    assert [option.name for option in source.options] == ["beta"]
    assert source.inputs == ("PairOutputs", "")
    assert source.declared == {"needs_reference": True, "couples_items": False}


def test_what_the_nearest_docstring_says_of_an_option_is_its_help(read):
    source = read(
        """
        class Base:
            '''A base.

            Args:
                rate: How fast.
                size: How much of it.
            '''

            def __init__(self, *, rate: float = 1.0, size: int = 2) -> None: ...

        class Plugin(Base):
            '''A plugin.

            Args:
                size: How much.
            '''
        """
    )
    assert {option.name: option.help for option in source.options} == {"rate": "How fast.", "size": "How much."}


def test_a_constructor_is_followed_through_other_modules(site):
    (site / "pkg").mkdir()
    (site / "pkg" / "__init__.py").write_text("from .public import Plugin\nraise RuntimeError('imported')\n", "utf-8")
    (site / "pkg" / "public.py").write_text("from pkg.inner import base as b\nclass Plugin(b.Base): ...\n", "utf-8")
    (site / "pkg" / "inner").mkdir()
    (site / "pkg" / "inner" / "__init__.py").write_text("", "utf-8")
    inner = "from ..types import Mode\nclass Base:\n    def __init__(self, *, mode: Mode = 'a'): ...\n"
    (site / "pkg" / "inner" / "base.py").write_text(inner, "utf-8")
    (site / "pkg" / "types.py").write_text("from typing import Literal\nMode = Literal['a', 'b']\n", "utf-8")
    spec = PluginSpec("loss", "x", "pkg:Plugin", "acme", "1", "wheel")
    source = read_source(spec)
    assert [dict(option.schema) for option in source.options] == [{"enum": ["a", "b"]}]
    assert source.file == str(site / "pkg" / "public.py")
    assert "pkg" not in sys.modules


def test_a_circle_of_imports_ends(site):
    (site / "one.py").write_text("from two import Plugin\n", encoding="utf-8")
    (site / "two.py").write_text("from one import Plugin\n", encoding="utf-8")
    assert not read_source(PluginSpec("loss", "x", "one:Plugin", "acme", "1", "wheel")).readable


def test_a_function_has_its_keyword_only_parameters_but_those_core_fills_in(read):
    source = read(
        """
        def Plugin(outputs: TokenOutputs, labels=None, *, loss_scale=None, num_items_in_batch=None, gamma: float = 2.0):
            '''Focal loss.'''
        Plugin.needs_reference = True
        """
    )
    assert [option.name for option in source.options] == ["gamma"]
    assert source.inputs == ("TokenOutputs", "")
    assert source.declared == {"needs_reference": True}


def test_a_keyword_without_default_of_a_reward_function_is_a_column(read):
    source = read("def Plugin(completions, *, solution, weight: float = 1.0, **columns): ...", kind="orm")
    assert [option.name for option in source.options] == ["weight"]


def test_a_decorated_definition_is_found_by_its_registered_name(read):
    source = read(
        "@register_loss('focal')\nclass Focal:\n    def __init__(self, *, gamma: float = 2.0): ...\n", "focal"
    )
    assert [option.name for option in source.options] == ["gamma"]


def test_bounds_stated_in_the_constructor_become_the_schema(read):
    source = read(
        """
        @dataclass(kw_only=True)
        class Plugin:
            beta: float = 0.1
            smoothing: float = 0.0
            steps: int = 1
            free: float = 0.0
            maybe: float = 0.0

            def __post_init__(self):
                require_positive(beta=self.beta)
                checks.require_between(0.0, 0.5, smoothing=self.smoothing)
                require_nonnegative(steps=self.steps, other=self.steps)
                if self.maybe:
                    require_positive(maybe=self.maybe)
        """
    )
    assert {option.name: dict(option.schema) for option in source.options} == {
        "beta": {"type": "number", "exclusiveMinimum": 0},
        "smoothing": {"type": "number", "minimum": 0.0, "exclusiveMaximum": 0.5},
        "steps": {"type": "integer", "minimum": 0},
        "free": {"type": "number"},
        "maybe": {"type": "number"},
    }
    given = {"beta": 0.0, "smoothing": 0.5, "steps": -1, "maybe": -1.0}
    assert [mistake.message for mistake in check_options(source, given)] == [
        "beta must be > 0, got 0.0",
        "smoothing must be in [0, 0.5), got 0.5",
        "steps must be >= 0, got -1",
    ]


@pytest.mark.parametrize(
    "source",
    [
        "class Plugin(Unknown): ...",
        "@attrs.define\nclass Plugin:\n    x: int = 1\n",
        "Plugin = make()",
        "class Plugin:\n    def __new__(cls, **rest): ...\n",
        "from elsewhere import Plugin",
    ],
)
def test_what_cannot_be_read_is_left_to_the_live_object(read, source):
    found = read(source)
    assert not found.readable
    assert check_options(found, {"anything": 1}) == []


def test_a_compiled_module_is_left_to_the_live_object():
    spec = PluginSpec("optimizer", "x", "_datetime:datetime", "acme", "1", "wheel")
    import _datetime

    if not getattr(_datetime, "__file__", None):
        pytest.skip("this Python has no compiled module outside itself")
    assert not read_source(spec).readable


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("nowhere_at_all:Plugin", "the module 'nowhere_at_all' is not there"),
        ("nowhere_at_all.inner:Plugin", "the module 'nowhere_at_all.inner' is not there"),
        ("acme_ok:Plugin", "has no 'Plugin'"),
        ("acme_torn:Plugin", "its source is not valid Python in line 1"),
        ("acme_null:Plugin", "its source "),
    ],
)
def test_a_plugin_whose_source_is_broken_is_said_with_its_distribution(site, target, cause):
    (site / "acme_ok.py").write_text("class Other: ...", encoding="utf-8")
    (site / "acme_torn.py").write_text("class Plugin(:", encoding="utf-8")
    (site / "acme_null.py").write_bytes(b"class Plugin: ...\x00")
    with pytest.raises(PluginError) as caught:
        read_source(PluginSpec("loss", "focal", target, "acme-losses", "1.4", "wheel"))
    assert caught.value.code == "broken-plugin"
    assert caught.value.message.startswith(f"the loss 'focal' of acme-losses 1.4 ({target}) cannot be used: ")
    assert cause in caught.value.message


def test_a_module_with_a_star_import_may_have_any_name(site):
    (site / "acme_star.py").write_text("from nowhere import *", encoding="utf-8")
    assert not read_source(PluginSpec("loss", "focal", "acme_star:Plugin", "acme", "1", "wheel")).readable


def test_a_changed_file_is_read_again(read):
    first = read("class Plugin:\n    def __init__(self, *, a: int = 1): ...\n")
    second = read("class Plugin:\n    def __init__(self, *, longer_name: int = 1): ...\n")
    assert [option.name for option in first.options + second.options] == ["a", "longer_name"]


def test_every_plugin_installed_here_can_be_read_without_torch():
    import subprocess

    code = (
        "import sys\nfrom swift_core.plugins.options import read_source\n"
        "from swift_core.plugins.registry import installed\n"
        "for spec in installed().specs(): read_source(spec)\n"
        "print(sorted({'torch', 'transformers', 'peft', 'datasets'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_options_of_our_dpo_are_those_of_its_class():
    from swift_core.plugins.registry import installed

    source = read_source(installed().resolve("loss", "swift-loss-zoo:dpo", Path()))
    assert [(o.name, o.default) for o in source.options] == [
        ("beta", 0.1),
        ("label_smoothing", 0.0),
        ("f_divergence", "reverse_kl"),
        ("alpha", 0.5),
        ("reference_free", False),
    ]
    assert source.inputs == ("PairOutputs",)
    assert source.declared["needs_reference"] is True
