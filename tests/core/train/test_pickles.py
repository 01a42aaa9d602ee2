"""Nothing in a checkpoint is unpickled: a file that would run code on loading is refused, whatever torch is told."""

import os
import pickle

import pytest
import torch

from swift_core.artifacts.checkpoint import commit, staging_of, standing
from swift_core.assemble.kinds.tokens import TokenCollator
from swift_core.builtins.cross_entropy import CrossEntropy
from swift_core.errors import SwiftError
from swift_core.train.supervised import Supervised

ROWS = [{"input_ids": [1, 5, 9, 3], "labels": [-100, 5, 9, 3], "row": index} for index in range(4)]


class Bomb:
    """Makes a marker when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def saved(make_parts):
    """Return a function that makes a trainer of one run, and its checkpoint."""

    def make():
        options = {"save_strategy": "steps", "save_steps": 1, "max_steps": 3}
        return Supervised.build(make_parts(CrossEntropy(), ROWS, TokenCollator(0), **options))

    make().train()
    trainer = make()
    return trainer, trainer.parts.directory / "checkpoint-2"


def test_a_checkpoint_holds_no_pickle_of_objects(saved):
    _, checkpoint = saved
    names = {path.name for path in checkpoint.iterdir()}
    assert "training_args.bin" not in names
    for path in (*checkpoint.glob("*.pt"), *checkpoint.glob("*.pth")):
        if path.name != "rng_state.pth":  # numpy's state, which Trainer allows by name
            torch.load(path, weights_only=True)


@pytest.mark.parametrize("forced", ["", "1"])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_a_pickle_in_place_of_a_state_is_never_run(saved, tmp_path, monkeypatch, name, plain, forced):
    trainer, checkpoint = saved
    marker = tmp_path / "marker"
    if plain:
        (checkpoint / name).write_bytes(pickle.dumps(Bomb(marker), protocol=2))
    else:
        torch.save({"state": Bomb(marker)}, checkpoint / name)
    if forced:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", forced)
    with pytest.raises(SwiftError, match="unsafe-checkpoint"):
        trainer.train(resume_from_checkpoint=str(checkpoint))
    assert not marker.exists()


@pytest.mark.parametrize("name", ["training_args.bin", "pytorch_model.bin", "adapter_model.bin", "x.pkl", "code.py"])
def test_a_stranger_cannot_list_other_kinds_of_files(tmp_path, name):
    staged = staging_of(tmp_path, 1) / "checkpoint-1"
    staged.mkdir(parents=True)
    (staged / "trainer_state.json").write_text("{}")
    made = commit(tmp_path, step=1, world=1, about={}, limit=1)
    (made / name).write_bytes(pickle.dumps(Bomb(tmp_path / "marker")))
    assert name in standing(made).problem
    assert not (tmp_path / "marker").exists()
