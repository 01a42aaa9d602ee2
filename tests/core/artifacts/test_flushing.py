"""Files reach the disk while others are written, and a disk that refuses is heard."""

import errno
import os
import threading
import time

import pytest

from swift_core.artifacts import flushing as under_test
from swift_core.artifacts.flushing import flushing


def wait_until(is_true):
    """Wait for another thread, ten seconds at most."""
    end = time.monotonic() + 10
    while not is_true() and time.monotonic() < end:
        time.sleep(0.001)
    assert is_true()


@pytest.fixture
def flushed(monkeypatch):
    """Sizes that files had when they were flushed, by name."""
    found = {}

    def flush(handle):
        path = os.readlink(f"/proc/self/fd/{handle}") if os.path.exists("/proc/self/fd") else str(handle)
        found.setdefault(os.path.basename(path), []).append(os.fstat(handle).st_size)

    monkeypatch.setattr(under_test, "_flush", flush)
    return found


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="names of open files are asked of Linux")
def test_a_file_is_flushed_again_as_it_grows_and_left_alone_when_it_does_not(tmp_path, flushed):
    inner = tmp_path / "inner"
    inner.mkdir()
    with flushing(tmp_path):
        (inner / "weights").write_bytes(b"1234")
        wait_until(lambda: flushed.get("weights", [])[-1:] == [4])
        with (inner / "weights").open("ab") as file:
            file.write(b"5678")
        wait_until(lambda: flushed["weights"][-1] == 8)
        before = len(flushed["weights"])
        (tmp_path / "later").write_bytes(b"1")
        wait_until(lambda: "later" in flushed)
    assert len(flushed["weights"]) == before


def test_a_disk_that_refuses_is_told_when_the_block_ends_and_not_before(tmp_path, monkeypatch):
    refused = threading.Event()

    def refuse(handle):
        refused.set()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(under_test, "_flush", refuse)
    went_on = False
    with pytest.raises(OSError, match="No space left"), flushing(tmp_path):  # noqa: PT012
        (tmp_path / "weights").write_bytes(b"1")
        assert refused.wait(10)
        went_on = True
    assert went_on


def test_what_the_block_raises_comes_before_what_the_disk_says(tmp_path, monkeypatch):
    refused = threading.Event()

    def refuse(handle):
        refused.set()
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(under_test, "_flush", refuse)
    with pytest.raises(ValueError, match="of the writer"), flushing(tmp_path):  # noqa: PT012
        (tmp_path / "weights").write_bytes(b"1")
        assert refused.wait(10)
        raise ValueError("of the writer")


def test_files_that_come_and_go_and_a_folder_that_is_deleted_are_no_failure(tmp_path):
    folder = tmp_path / "staging"
    folder.mkdir()
    with flushing(folder):
        for index in range(200):
            path = folder / f"{index}.part"
            path.write_bytes(b"x" * 100)
            path.rename(folder / "whole")
        (folder / "whole").unlink()
        folder.rmdir()
        time.sleep(0.02)
    assert not [thread for thread in threading.enumerate() if thread.name == "flushing"]
