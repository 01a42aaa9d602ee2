"""Exporters: they say in words what is no run of theirs, and leave nothing behind."""

import pytest

from swift_core.errors import SwiftError

KIND = "exporter"


def test_a_folder_that_is_no_run_is_refused_in_words(spec, plugin, tmp_path):
    (tmp_path / "target").mkdir()
    with pytest.raises((SwiftError, ValueError), match=r"\w{3}"):
        plugin.export(tmp_path / "nowhere", tmp_path / "target")
    assert not list((tmp_path / "target").iterdir())
