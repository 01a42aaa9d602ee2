import os

import pytest

from swift_core.artifacts.atomic import new_folder, write_text


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "one\n")
    write_text(path, "two\n")
    assert path.read_bytes() == b"two\n"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_text(path, "one")

    def full_disk(_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_text(path, "two")
    assert path.read_text() == "one"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_files_have_the_rights_that_open_would_give(tmp_path):
    (tmp_path / "plain").touch()
    write_text(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_appears_when_it_is_full(tmp_path):
    with new_folder(tmp_path / "model") as folder:
        (folder / "weights").touch()
        assert not (tmp_path / "model").exists()
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(tmp_path / "model") == ["weights"]


def test_a_folder_takes_the_place_of_the_old_one(tmp_path):
    for name in ("old", "new"):
        with new_folder(tmp_path / "model") as folder:
            (folder / name).touch()
    assert os.listdir(tmp_path / "model") == ["new"]
    assert os.listdir(tmp_path) == ["model"]


def test_a_failed_folder_leaves_the_old_one(tmp_path):
    with new_folder(tmp_path / "model") as folder:
        (folder / "old").touch()
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "model") as folder:
        (folder / "new").write_text(str(1 / 0))
    assert os.listdir(tmp_path / "model") == ["old"]
    assert os.listdir(tmp_path) == ["model"]
