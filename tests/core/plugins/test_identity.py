from __future__ import annotations

from dataclasses import replace

import pytest

from swift_core.contracts.plugin import PluginSpec
from swift_core.plugins.identity import content_hash, digest

SPEC = PluginSpec("loss", "focal", "acme_id.loss:Focal", "acme-losses", "1.4", "wheel")


@pytest.fixture
def package(site):
    folder = site / "acme_id"
    folder.mkdir()
    for name in ("__init__.py", "loss.py", "helper.py"):
        (folder / name).write_text(f"# {name}\n", encoding="utf-8")
    return folder


def test_the_hash_changes_with_any_code_of_the_package_and_with_nothing_else(package):
    before = content_hash(SPEC)
    (package / "notes.md").write_text("x", encoding="utf-8")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "loss.cpython-311.pyc").write_bytes(b"x")
    assert content_hash(SPEC) == before
    (package / "helper.py").write_text("# changed\n", encoding="utf-8")
    changed = content_hash(SPEC)
    (package / "helper.py").rename(package / "other.py")
    assert len({before, changed, content_hash(SPEC)}) == 3


def test_the_hash_does_not_depend_on_where_the_package_is(package, tmp_path, monkeypatch):
    before = content_hash(SPEC)
    package.rename(tmp_path / "acme_id")
    monkeypatch.syspath_prepend(tmp_path)
    assert content_hash(SPEC) == before


def test_a_file_plugin_has_the_hash_of_its_file(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.py").write_text("x = 1\n", encoding="utf-8")
    a, b = (replace(SPEC, origin="file", path=tmp_path / name / f"{name}.py") for name in "ab")
    assert content_hash(a) == content_hash(b) != ""


def test_a_plugin_without_a_file_has_no_hash():
    assert content_hash(replace(SPEC, target="nowhere_at_all:X")) == ""


def test_the_digest_changes_with_version_options_code_and_order_of_the_plugins(package):
    other = replace(SPEC, name="other")
    digests = [
        digest([(SPEC, {"gamma": 2.0, "alpha": 1})]),
        digest([(SPEC, {"gamma": 2.5, "alpha": 1})]),
        digest([(replace(SPEC, version="1.5"), {"gamma": 2.0, "alpha": 1})]),
        digest([(SPEC, {}), (other, {})]),
        digest([(other, {}), (SPEC, {})]),
    ]
    assert len(set(digests)) == 5
    assert digest([(SPEC, {"alpha": 1, "gamma": 2.0})]) == digests[0]
    (package / "loss.py").write_text("# changed\n", encoding="utf-8")
    assert digest([(SPEC, {"gamma": 2.0, "alpha": 1})]) != digests[0]
