"""No source and no options give a traceback: the reader answers, or says what is wrong."""

from __future__ import annotations

import json

import jsonschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swift_core.contracts.plugin import PluginSpec
from swift_core.plugins.options import check_options, read_source
from swift_core.plugins.registry import PluginError

FRAGMENTS = st.sampled_from(
    [
        "class Plugin:",
        "class Plugin(Base, metaclass=M):",
        "class Plugin(Plugin):",
        "class Base:",
        "@dataclass",
        "@dataclass(kw_only=True)",
        "@register_loss('Plugin')",
        "    def __init__(self, a, /, b, *args, c: int = 1, d: 'list[', **rest):",
        "    def __init__():",
        "    async def __call__(self, x: PairOutputs):",
        "    def __post_init__(self): require_positive(a=self.a)",
        "    def __post_init__(self): require_between('a', [], x=self.x)",
        "        '''Args:\n            c: text: more\n        '''",
        "    a: int = 1",
        "    b: 'Plugin | None' = None",
        "    c: list[Base] = field(default_factory=lambda: [1, (2, {3})])",
        "    d: dict[str] = field()",
        "    e: Literal[...] = 1 << 100",
        "    f: ClassVar[int]",
        "    g: tuple[()] = ((),)",
        "    h: Annotated[int] = {1: {2, 3}}",
        "    i: Optional[()] = -(-1)",
        "    j: Union[()] = b'bytes'",
        "    k: dict[str, Alias] = ...",
        "    l: x.y.z[0] = f'{a}'",
        "    m: Path = Path()",
        "    x: float = 1e400",
        "    'text'",
        "    pass",
        "def Plugin(x: 'a b', *, y: int): ...",
        "Plugin = Plugin",
        "Plugin = Base = Alias",
        "Alias = Union['Alias', list['Alias']]",
        "Alias: TypeAlias = Plugin",
        "from . import Plugin",
        "from .... import Plugin",
        "from json import *",
        "import a.b as Plugin",
        "try:",
        "if TYPE_CHECKING:",
        "Plugin.x = 1",
        "\x00",
        "\ufeff",
        "# -*- coding: nonsense -*-",
        "(" * 300,
    ]
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from("abcdefghijklmx") | st.text(max_size=3)


def read(directory, content: bytes):
    file = directory / "plugin.py"
    file.write_bytes(content)
    return read_source(PluginSpec("loss", "Plugin", f"{file}:Plugin", "(file)", "", "file", path=file))


def assert_answers(directory, content, options):
    try:
        source = read(directory, content)
    except PluginError:
        return
    for option in source.options:
        json.dumps(option.default, allow_nan=False)
        jsonschema.Draft7Validator.check_schema(dict(option.schema))
    for mistake in check_options(source, options):
        assert mistake.message
        assert all(isinstance(part, str) for part in mistake.path)


WORDS = st.sampled_from(["int", "str", "None", "Plugin", "...", "'int'", "1", "Literal", "()"])
GENERICS = st.sampled_from(["list", "tuple", "dict", "Union", "Literal", "Optional", "x"])
ANNOTATIONS = st.recursive(
    WORDS,
    lambda inner: (
        st.tuples(GENERICS, st.lists(inner, max_size=3).map(", ".join)).map(lambda p: f"{p[0]}[{p[1] or '()'}]")
        | st.tuples(inner, inner).map(" | ".join)
    ),
)

lenient = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@lenient
@given(st.lists(FRAGMENTS, max_size=9), st.dictionaries(KEYS, JSON, max_size=4))
def test_source_made_of_python_is_answered(tmp_path, lines, options):
    assert_answers(tmp_path, "\n".join(lines).encode(), options)


@lenient
@given(st.binary(max_size=200))
def test_source_made_of_bytes_is_answered(tmp_path, content):
    assert_answers(tmp_path, content, {})


@lenient
@given(ANNOTATIONS, JSON)
def test_annotations_of_all_shapes_are_answered(tmp_path, annotation, value):
    content = f"class Plugin:\n    def __init__(self, *, a: {annotation}): ...\n".encode()
    assert_answers(tmp_path, content, {"a": value})


def test_deep_nesting_is_answered(tmp_path):
    assert_answers(
        tmp_path, f"class Plugin:\n    def __init__(self, *, a: {'list[' * 90}int{']' * 90}): ...\n".encode(), {"a": []}
    )
    assert_answers(tmp_path, ("class Plugin:\n    a = " + "-" * 5000 + "1\n").encode(), {})
    assert_answers(tmp_path, ("Plugin = " + "+".join(["a"] * 5000)).encode(), {})
