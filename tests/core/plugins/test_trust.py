from __future__ import annotations

import io

import click
import pytest

from swift_core.errors import SwiftError
from swift_core.plugins import trust as module
from swift_core.plugins.registry import PluginError
from swift_core.plugins.trust import distrust, is_trusted, require_trust, store, trust, trusted_folders


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Make the process believe that it runs on a terminal, and count how often it asks."""
    asked = []

    def answering(answer):
        monkeypatch.setattr("sys.stdin", Terminal())
        monkeypatch.setattr("sys.stderr", Terminal())
        monkeypatch.setattr(click, "confirm", lambda text, err: asked.append(text) or answer)
        return asked

    return answering


def test_nothing_is_trusted_at_first(tmp_path):
    assert trusted_folders() == []
    assert not is_trusted(tmp_path / "f.py")


def test_a_folder_is_trusted_with_all_below_it_until_it_is_forgotten(tmp_path):
    assert trust(tmp_path / "..") == tmp_path.parent
    assert is_trusted(tmp_path / "deep" / "f.py")
    assert distrust(tmp_path.parent) == tmp_path.parent
    assert not is_trusted(tmp_path / "f.py")


def test_a_neighbour_with_a_longer_name_is_not_trusted(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "ab").mkdir()
    trust(tmp_path / "a")
    assert not is_trusted(tmp_path / "ab" / "f.py")


def test_a_link_out_of_a_trusted_folder_is_not_trusted(tmp_path):
    for name in ("inside", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "f.py").write_text("", encoding="utf-8")
    (tmp_path / "inside" / "f.py").symlink_to(tmp_path / "outside" / "f.py")
    trust(tmp_path / "inside")
    assert not is_trusted(tmp_path / "inside" / "f.py")


def test_only_folders_can_be_trusted_and_only_trusted_ones_forgotten(tmp_path):
    with pytest.raises(ValueError, match="is not a folder"):
        trust(tmp_path / "none")
    with pytest.raises(ValueError, match="is not in the list"):
        distrust(tmp_path)


def test_a_user_on_a_terminal_is_asked_once_and_the_answer_is_kept(tmp_path, terminal):
    asked = terminal(True)
    require_trust(tmp_path / "f.py")
    require_trust(tmp_path / "g.py")
    assert len(asked) == 1
    assert trusted_folders() == [tmp_path]


def test_a_user_who_says_no_is_obeyed_and_nothing_is_kept(tmp_path, terminal):
    asked = terminal(False)
    with pytest.raises(PluginError, match="is not trusted, so it does not run"):
        require_trust(tmp_path / "f.py")
    assert len(asked) == 1
    assert trusted_folders() == []


def test_off_a_terminal_nobody_is_asked(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    monkeypatch.setattr(click, "confirm", lambda *a, **k: pytest.fail("asked"))
    with pytest.raises(PluginError):
        require_trust(tmp_path / "f.py")


@pytest.mark.parametrize("text", ["not json", "[]", '{"folders": 3}', '{"folders": [3]}'])
def test_a_broken_list_of_folders_trusts_nothing_and_says_what_to_do(tmp_path, text):
    store().parent.mkdir(parents=True)
    store().write_text(text, encoding="utf-8")
    with pytest.raises(SwiftError, match="cannot be read") as caught:
        is_trusted(tmp_path)
    assert caught.value.problems[0].next_step.startswith("delete ")


def test_the_list_is_written_whole(tmp_path):
    trust(tmp_path)
    assert [path.name for path in store().parent.iterdir()] == [store().name]
    assert module.trusted_folders() == [tmp_path]
