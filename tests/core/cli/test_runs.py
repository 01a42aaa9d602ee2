"""`swift runs`: what there is, and whether it is whole."""

import json

import pytest
from click.testing import CliRunner

from swift_core.artifacts.checkpoint import commit, staging_of
from swift_core.cli.runs import command
from swift_core.errors import SwiftError

PLAN = {
    "parts": [{"key": "train.stage", "name": "dpo"}, {"key": "train.loss_type", "name": "ipo\x1b[31m"}],
    "settings": {"model": {"model_id": {"value": "demo:tiny"}}},
}


@pytest.fixture
def runs(tmp_path):
    """A folder with a finished run, one without a checkpoint, one that is broken, and something else."""
    for name, plan in (("a", json.dumps(PLAN)), ("b", json.dumps(PLAN)), ("c", "{")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "plan.json").write_text(plan)
    (tmp_path / "notes").mkdir()
    (tmp_path / "a" / "result.json").write_text("{}")
    for step in (2, 10):
        staged = staging_of(tmp_path / "a", step) / f"checkpoint-{step}"
        staged.mkdir(parents=True)
        (staged / "model.safetensors").write_bytes(b"x" * 100)
        commit(tmp_path / "a", step=step, world=1, about={}, limit=2)
    return tmp_path


def test_runs_are_listed_with_their_end_and_newest_checkpoint(runs):
    done = CliRunner().invoke(command, ["list", str(runs)])
    assert done.output.splitlines() == [
        f"{runs}/a  finished  dpo ipo[31m demo:tiny  checkpoint-10",
        f"{runs}/b  unfinished  dpo ipo[31m demo:tiny  no checkpoint",
        f"{runs}/c  unreadable  plan.json is not as a run wrote it  no checkpoint",
    ]


def test_a_whole_run_is_verified(runs):
    done = CliRunner().invoke(command, ["verify", str(runs / "a")])
    assert (done.exit_code, done.output.count("  whole  1 files, 100 bytes")) == (0, 2)


def test_a_damaged_checkpoint_is_named_and_decides_the_exit_code(runs):
    (runs / "a" / "checkpoint-2" / "model.safetensors").write_bytes(b"y" * 100)
    done = CliRunner().invoke(command, ["verify", str(runs / "a")])
    assert done.exit_code == 1
    assert "checkpoint-2  DAMAGED  has other bytes in model.safetensors" in done.output
    assert "checkpoint-10  whole" in done.output
    assert CliRunner().invoke(command, ["verify", str(runs / "a" / "checkpoint-10")]).exit_code == 0


@pytest.mark.parametrize("arguments", [["verify", "b"], ["verify", "nowhere"], ["list", "nowhere"]])
def test_what_is_not_there_is_told(runs, monkeypatch, arguments):
    monkeypatch.chdir(runs)
    done = CliRunner().invoke(command, arguments)
    assert isinstance(done.exception, SwiftError)
