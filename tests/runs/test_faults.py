"""Runs that are killed, stopped, starved or damaged go on, and end as the run that nothing happened to: bit for bit.

The few trials of every day; `nox -s faults` makes the hundreds that docs/faults.md counts.
"""

import shutil
import signal
import sys

import pytest
from tests.runs.faulty import (
    STAGES,
    Forks,
    Undisturbed,
    crash_of_a_data_worker,
    crash_of_a_worker,
    damage,
    kill_any_time,
    kill_in_saves,
    left_by,
    poison,
    starve,
    terminate,
    terminate_ddp,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are set as on Linux")


@pytest.fixture(scope="module")
def forks(demo_folder):
    return Forks()


@pytest.fixture(scope="module")
def undisturbed(forks, tmp_path_factory):
    """Return a function (stage) -> the folder of a run that nothing happened to, all its checkpoints kept."""
    return Undisturbed(forks, tmp_path_factory.mktemp("undisturbed"))


def struck(trial, wanted, forks, undisturbed, folder, stage, first_seed=0):
    """Make trials until `wanted` faults struck."""
    faults, seed = 0, first_seed
    while faults < wanted:
        assert seed < first_seed + 4 * wanted, "the faults come too late"
        faults += trial(forks, undisturbed, folder / str(seed), stage, seed)
        seed += 1


def test_ten_kills_inside_saves_leave_no_trace(forks, undisturbed, tmp_path):
    struck(kill_in_saves, 10, forks, undisturbed, tmp_path, "sft")


def test_five_kills_at_any_time_leave_no_trace(forks, undisturbed, tmp_path):
    struck(kill_any_time, 5, forks, undisturbed, tmp_path, "sft")


def test_forty_damages_of_a_real_checkpoint_are_noticed_and_an_older_one_is_taken(forks, undisturbed, tmp_path):
    struck(damage, 40, forks, undisturbed, tmp_path, "sft", first_seed=1)  # one of them trains on


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_resumed_run_equals_the_uninterrupted_one(forks, undisturbed, tmp_path, stage):
    shutil.copytree(undisturbed(stage), tmp_path, dirs_exist_ok=True)
    for name in ("adapter", "result.json", "report.html"):
        path = tmp_path / "out" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    log = forks(tmp_path, "train", "run.yaml", "train.save_total_limit=99", "--resume", "out/checkpoint-3")
    assert "going on from out/checkpoint-3, as asked" in log
    assert left_by(tmp_path) == left_by(undisturbed(stage))


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["dpo", "grpo"])
def test_kills_of_other_stages_leave_no_trace(forks, undisturbed, tmp_path, stage):
    struck(kill_in_saves, 4, forks, undisturbed, tmp_path, stage)
    struck(kill_any_time, 2, forks, undisturbed, tmp_path, stage, first_seed=100)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_at_a_step_with_a_checkpoint_and_without_a_model(forks, undisturbed, tmp_path, number):
    def stop(*arguments):
        return terminate(*arguments, number=number)

    struck(stop, 3, forks, undisturbed, tmp_path, "sft")


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_ends_both_at_one_step(forks, undisturbed, tmp_path):
    struck(terminate_ddp, 2, forks, undisturbed, tmp_path, "sft")


@pytest.mark.slow
def test_a_crash_of_one_of_two_processes_ends_the_other_and_both_go_on(forks, undisturbed, tmp_path):
    struck(crash_of_a_worker, 2, forks, undisturbed, tmp_path, "dpo")


@pytest.mark.slow
def test_a_crash_of_a_data_worker_is_told_and_leaves_no_trace(forks, undisturbed, tmp_path):
    struck(crash_of_a_data_worker, 2, forks, undisturbed, tmp_path, "sft")


@pytest.mark.slow
def test_a_disk_without_room_keeps_the_last_checkpoint_and_says_so(forks, undisturbed, tmp_path):
    struck(starve, 4, forks, undisturbed, tmp_path, "sft")


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_a_loss_that_is_not_finite_ends_the_run_and_is_never_saved(forks, undisturbed, tmp_path, stage):
    struck(poison, 3, forks, undisturbed, tmp_path, stage)
