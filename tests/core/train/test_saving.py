"""A checkpoint is committed when its block ends, and what the disk says meanwhile is heard."""

import errno
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from swift_core.artifacts import flushing
from swift_core.artifacts.checkpoint import newest_first, standing
from swift_core.errors import SwiftError
from swift_core.plugins.hooks import manager
from swift_core.train.saving import Saving


@pytest.fixture
def trainer(tmp_path):
    """What a commit asks of a trainer, three steps into a run."""
    parts = SimpleNamespace(directory=tmp_path, hooks=manager([]), plan=SimpleNamespace(config=None))
    args = SimpleNamespace(output_dir=str(tmp_path), should_save=True, world_size=1, save_total_limit=2)
    state = SimpleNamespace(global_step=3, log_history=[])
    return SimpleNamespace(args=args, state=state, parts=parts, module=torch.nn.Linear(2, 2))


def write(trainer, name="optimizer.pt"):
    """Write a state where Trainer would."""
    folder = f"{trainer.args.output_dir}/checkpoint-{trainer.state.global_step}"
    torch.save({"state": torch.arange(1000.0)}, f"{folder}/{name}")


def save(trainer, *names):
    """Write and commit a checkpoint of these files."""
    saving = Saving(trainer)
    with saving.committing():
        saving.begin()
        Path(trainer.args.output_dir, f"checkpoint-{trainer.state.global_step}").mkdir()
        for name in names or ("optimizer.pt",):
            write(trainer, name)


def test_a_state_without_checksums_of_torch_is_read_and_the_option_is_as_before(trainer, tmp_path):
    save(trainer)
    found = torch.load(tmp_path / "checkpoint-3" / "optimizer.pt", weights_only=True)
    assert torch.equal(found["state"], torch.arange(1000.0))
    assert torch.serialization.get_crc32_options()
    assert standing(tmp_path / "checkpoint-3").manifest


def test_a_save_that_fails_leaves_the_option_of_checksums_as_before(trainer):
    saving = Saving(trainer)
    with pytest.raises(ZeroDivisionError), saving.committing():  # noqa: PT012
        saving.begin()
        assert not torch.serialization.get_crc32_options()
        raise ZeroDivisionError
    assert torch.serialization.get_crc32_options()
    assert not [thread for thread in threading.enumerate() if thread.name == "flushing"]


def test_a_disk_that_is_full_while_files_are_written_keeps_the_older_checkpoint(trainer, tmp_path, monkeypatch):
    save(trainer)
    refused = threading.Event()

    def refuse(handle):
        refused.set()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(flushing, "_flush", refuse)
    trainer.state.global_step = 4
    saving = Saving(trainer)
    with pytest.raises(SwiftError) as caught, saving.committing():  # noqa: PT012
        saving.begin()
        (tmp_path / ".saving-4" / "checkpoint-4").mkdir()
        write(trainer)
        assert refused.wait(10)
    message = str(caught.value)
    assert "The checkpoint of step 4" in message
    assert "checkpoint-3 stays as it is" in message
    assert [path.name for path in newest_first(tmp_path)] == ["checkpoint-3"]
    assert not (tmp_path / ".saving-4").exists()
