from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from swift_core.contracts import registration
from swift_core.contracts.plugin import PluginSpec
from swift_core.plugins.discover import scan
from swift_core.plugins.registry import Registry
from swift_core.testing.fake_dist import fake_dist


@pytest.fixture(autouse=True)
def own_configuration(tmp_path_factory, monkeypatch):
    """Trusted folders of a test are its own, and so is what it registers."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    monkeypatch.setattr(registration, "_table", {})


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on `sys.path` to install distributions into."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def install(site):
    """Install a distribution that offers plugins, `{"loss": {"focal": "module:attribute"}}`; return its registry."""

    def install(name, plugins, files=None, version="1.0", requires=()):
        from swift_core.plugins.kinds import KINDS

        groups = {KINDS[kind].group: names for kind, names in plugins.items()}
        sources = {path: textwrap.dedent(text) for path, text in (files or {}).items()}
        fake_dist(site, name, version, groups, sources, requires)
        return Registry(scan([str(site)]))

    return install


@pytest.fixture
def file_spec(tmp_path):
    """Write a Python file and return the specification of one name in it."""

    def file_spec(source, name, kind="loss"):
        path = Path(tmp_path / "plugin.py")
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return PluginSpec(kind, name, f"{path}:{name}", "(file)", "", "file", path=path)

    return file_spec
