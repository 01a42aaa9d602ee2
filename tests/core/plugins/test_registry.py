from __future__ import annotations

import re
from pathlib import Path

import pytest

from swift_core.plugins.discover import FIRST_PARTY
from swift_core.plugins.first_party import WHEEL_OF
from swift_core.plugins.kinds import GROUPS, KINDS, kind_named
from swift_core.plugins.registry import PluginError, Registry, installed

HERE = Path()
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def registry(install):
    install("swift-loss-zoo", {"loss": {"dpo": "zoo:DPO"}})
    return install("acme-losses", {"loss": {"focal": "acme:Focal"}, "metric": {"f1": "acme:F1"}})


def error(registry: Registry, kind, reference, base=HERE):
    with pytest.raises(PluginError) as caught:
        registry.resolve(kind, reference, base)
    return caught.value.code, caught.value.message, caught.value.next_step


@pytest.mark.parametrize("reference", ["focal", "acme-losses:focal", "Acme_Losses:focal"])
def test_a_plugin_is_found_by_its_name_and_by_its_qualified_name(registry, reference):
    spec = registry.resolve("loss", reference, HERE)
    assert spec.qualified == "acme-losses:focal"


@pytest.mark.parametrize(
    ("kind", "reference", "expected"),
    [
        ("loss", "focl", ("no loss named 'focl'. Did you mean 'focal'?", "swift plugins list --kind loss")),
        ("loss", "f1", ("no loss named 'f1'. 'f1' is a metric.", "swift plugins list --kind loss")),
        ("loss", "zzz", ("no loss named 'zzz'.", "swift plugins list --kind loss")),
        ("orm", "math", (
            "no orm named 'math'. It comes with swift-reward-zoo, which is not installed.",
            "pip install swift-reward-zoo",
        )),
        ("loss", "acme-losses:focl", (
            "acme-losses has no loss named 'focl'. Did you mean 'focal'?",
            "swift plugins list --kind loss",
        )),
        ("orm", "acme-losses:focal", (
            "acme-losses is installed and has no orm at all.",
            "swift plugins list --kind orm",
        )),
    ],
)  # fmt: skip
def test_an_unknown_name_is_said_with_what_may_be_meant(registry, kind, reference, expected):
    assert error(registry, kind, reference) == ("unknown-plugin", *expected)


def test_an_unknown_distribution_is_said_with_the_nearest(registry):
    assert error(registry, "loss", "acme-loses:focal") == (
        "unknown-distribution",
        "the distribution 'acme-loses' is not installed. Did you mean 'acme-losses'?",
        "pip install acme-loses",
    )


@pytest.mark.parametrize(
    ("reference", "code", "message"),
    [
        ("./nothing.py:Focal", "missing-file", "the file ./nothing.py cannot be read: No such file or directory"),
        ("./my_loss.py", "malformed-reference", "'./my_loss.py' says which file and not what in it."),
        ("my_loss.py", "malformed-reference", "'my_loss.py' says which file and not what in it."),
        (
            "./kernel.rs:f",
            "unsupported-file",
            "./kernel.rs is neither a Python file nor a C++ file; plugins in other lan",
        ),
        ("./my_loss.py:Focall", "unknown-plugin", "./my_loss.py has no 'Focall'. Did you mean 'Focal'?"),
        ("./my_loss.py:Zzz", "unknown-plugin", "./my_loss.py has no 'Zzz'. It has Focal, focus."),
        ("./torn.py:Focal", "broken-plugin", "./torn.py is not valid Python in line 2: "),
        (".:x", "unsupported-file", ". is neither a Python file nor a C++ file"),
    ],
)
def test_a_file_that_cannot_be_had_is_said_before_anything_runs(registry, tmp_path, reference, code, message):
    text = "from swift_core.plugin_api import register_loss\n@register_loss('focus')\nclass Focal: ...\n"
    (tmp_path / "my_loss.py").write_text(text.replace("from swift_core.plugin_api import register_loss\n", ""), "utf-8")
    (tmp_path / "torn.py").write_text("class A: ...\ndef f(:\n", encoding="utf-8")
    found_code, found_message, next_step = error(registry, "loss", reference, tmp_path)
    assert (found_code, found_message[: len(message)]) == (code, message)
    assert next_step


@pytest.mark.parametrize(
    "source",
    [
        "class Focal: ...",
        "Focal, Other = object, object",
        "with open(__file__):\n    Focal = int",
        "if True:\n    from collections import OrderedDict as Focal",
        "from collections import *",
        "globals()['Focal'] = int",
        "def __getattr__(name): ...",
        "for Focal in []: ...\nFocal: type = int",
        "PATTERN = '\\d'\nclass Focal: ...",
    ],
)
def test_a_name_in_a_file_is_found_however_it_is_bound(registry, tmp_path, source):
    (tmp_path / "my_loss.py").write_text(source, encoding="utf-8")
    assert registry.resolve("loss", "./my_loss.py:Focal", tmp_path).name == "Focal"


def test_a_name_inside_a_function_of_a_file_is_not_one_of_its_plugins(registry, tmp_path):
    (tmp_path / "my_loss.py").write_text("def make():\n    class Focal: ...\n", encoding="utf-8")
    assert error(registry, "loss", "./my_loss.py:Focal", tmp_path)[1] == "./my_loss.py has no 'Focal'. It has make."


def test_a_file_plugin_is_known_by_its_path_and_its_content(registry, tmp_path):
    file = tmp_path / "my_loss.py"
    file.write_text("class Focal: ...", encoding="utf-8")
    first = registry.resolve("loss", "./my_loss.py:Focal", tmp_path)
    file.write_text("class Focal: x = 1", encoding="utf-8")
    second = registry.resolve("loss", "./my_loss.py:Focal", tmp_path)
    assert first.path == second.path == file
    assert first.version != second.version


def test_the_table_has_the_twenty_kinds_and_their_contracts():
    import swift_core.plugin_api as api

    assert len(KINDS) == len(GROUPS) == 20
    for kind in KINDS.values():
        assert hasattr(api, kind.contract), kind
        assert hasattr(api, f"register_{kind.name}"), kind
        assert getattr(api, f"{kind.name.upper()}_MAPPING").kind == kind.name


@pytest.mark.parametrize("word", ["loss_scale", "loss-scale", "Loss scales", "loss_scales", "swift.loss_scales"])
def test_a_kind_is_understood_however_it_is_written(word):
    assert kind_named(word) is KINDS["loss_scale"]


def test_a_word_that_is_no_kind_is_none():
    assert kind_named("los") is None


def test_the_index_of_our_wheels_is_what_their_metadata_says():
    written = {}
    for wheel in sorted(FIRST_PARTY - {"swift-core"}):
        kind = None
        for line in (REPOSITORY / "packages" / wheel / "pyproject.toml").read_text(encoding="utf-8").splitlines():
            header = re.match(r'\[(?:project\.entry-points\."(.*)")?', line)
            if header:
                kind = GROUPS.get(header[1] or "")
            elif kind and "=" in line:
                written[kind.name, line.partition("=")[0].strip()] = wheel
    assert written == WHEEL_OF


def test_one_process_scans_once():
    assert installed() is installed()
    assert installed(allow_code=True).found is installed().found
    assert not installed().allow_code
