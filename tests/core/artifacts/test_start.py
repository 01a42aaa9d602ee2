"""What a run goes on from, and what it says of it."""

import json
from dataclasses import replace

import pytest

from swift_core.artifacts import data_lock
from swift_core.artifacts.checkpoint import commit, staging_of
from swift_core.artifacts.directory import create
from swift_core.artifacts.drift import identity
from swift_core.artifacts.start import choose, tidy
from swift_core.errors import SwiftError


def problem(error):
    (only,) = error.value.problems
    return only


@pytest.fixture
def save(tmp_path):
    """Return a function (plan, step) that commits a small checkpoint of the run in `tmp_path/out`."""

    def make(plan, step, limit=9, **about):
        staged = staging_of(tmp_path / "out", step) / f"checkpoint-{step}"
        staged.mkdir(parents=True)
        (staged / "model.safetensors").write_bytes(bytes([step]) * 100)
        (staged / "trainer_state.json").write_text(json.dumps({"global_step": step}))
        return commit(tmp_path / "out", step=step, world=1, about={**identity(plan), **about}, limit=limit)

    return make


def test_the_newest_whole_checkpoint_is_taken_and_a_damaged_one_named(make_plan, save, tmp_path):
    plan = make_plan()
    paths = [save(plan, step) for step in (5, 10, 15)]
    (paths[2] / "model.safetensors").write_bytes(b"\0" * 100)
    start = choose(plan, tmp_path / "out")
    assert (start.directory, start.checkpoint) == (tmp_path / "out", paths[1])
    assert "checkpoint-15 has other bytes in model.safetensors than were written: it is left out" in start.notes[0]
    assert "checkpoint-10, the newest that is whole" in start.notes[1]


def test_the_checkpoint_that_is_named_is_taken(make_plan, save, tmp_path):
    plan = make_plan()
    older = save(plan, 5)
    save(plan, 10)
    start = choose(plan, older)
    assert (start.directory, start.checkpoint) == (tmp_path / "out", older)


def test_a_damaged_checkpoint_that_is_named_is_refused_although_others_are_whole(make_plan, save):
    plan = make_plan()
    save(plan, 5)
    (save(plan, 10) / "trainer_state.json").unlink()
    with pytest.raises(SwiftError, match=r"checkpoint-10 lacks trainer_state.json"):
        choose(plan, choose(plan, save(plan, 5)).directory / "checkpoint-10")


@pytest.mark.parametrize(("name", "what"), [("out", "holds no checkpoint"), ("missing", "is no folder")])
def test_going_on_from_nothing_is_an_error(make_plan, tmp_path, name, what):
    (tmp_path / "out").mkdir()
    with pytest.raises(SwiftError, match=what):
        choose(make_plan(), tmp_path / name)


def test_a_folder_without_a_manifest_is_no_checkpoint(make_plan, tmp_path):
    (tmp_path / "out" / "checkpoint-5").mkdir(parents=True)
    (tmp_path / "out" / "checkpoint-5" / "trainer_state.json").write_text("{}")
    with pytest.raises(SwiftError, match=r"checkpoint-5 has no manifest.json"):
        choose(make_plan(), tmp_path / "out")


def test_a_changed_run_file_is_refused_with_the_keys_and_accepted_when_told(make_plan, save, tmp_path):
    plan = make_plan()
    save(plan, 5)
    train = replace(plan.settings.train, learning_rate=0.5, save_steps=7)
    settings = replace(plan.settings, train=train)
    changed = replace(plan, config=replace(plan.config, settings=settings))
    with pytest.raises(SwiftError) as error:
        choose(changed, tmp_path / "out")
    assert problem(error).code == "resume-changed"
    assert "train.learning_rate: 5e-05 -> 0.5" in problem(error).message
    assert "save_steps" not in problem(error).message
    start = choose(changed, tmp_path / "out", accept_changes=True)
    assert start.notes[-1] == "changed, as accepted: train.learning_rate: 5e-05 -> 0.5"


def test_another_version_of_a_plugin_is_refused(make_plan, save, tmp_path):
    plan = make_plan()
    save(plan, 5)
    newer = replace(plan, loss=replace(plan.loss, plugin=replace(plan.loss.plugin, version="99.0")))
    with pytest.raises(SwiftError) as error:
        choose(newer, tmp_path / "out")
    assert problem(error).code == "resume-plugins"
    assert "99.0" in problem(error).message


def test_other_code_of_a_plugin_is_refused(make_plan, save, tmp_path):
    file = tmp_path / "loss.py"
    file.write_text("A = 1\n")
    plan = make_plan()
    plan = replace(plan, loss=replace(plan.loss, plugin=replace(plan.loss.plugin, path=file)))
    save(plan, 5)
    file.write_text("A = 2\n")
    with pytest.raises(SwiftError, match=r"train.loss_type: the code of dpo .* has changed"):
        choose(plan, tmp_path / "out")


def reading(plan, **data):
    """Return `plan` with other data sets."""
    settings = replace(plan.settings, data=replace(plan.settings.data, **data))
    return replace(plan, config=replace(plan.config, settings=settings))


def test_other_bytes_of_a_data_file_are_refused_with_its_name_and_accepted_when_told(make_plan, save, tmp_path):
    (tmp_path / "more").mkdir()
    rows, held_out = tmp_path / "rows.jsonl", tmp_path / "more" / "held.jsonl"
    rows.write_text('{"text": "a"}\n')
    held_out.write_text('{"text": "b"}\n')
    plan = reading(make_plan(), dataset=["rows.jsonl#1", "demo:chat"], val_dataset="more")
    save(plan, 5)
    assert choose(plan, tmp_path / "out").checkpoint is not None
    rows.write_text('{"text": "c"}\n')
    with pytest.raises(SwiftError) as error:
        choose(plan, tmp_path / "out")
    assert problem(error).code == "resume-data"
    assert "rows.jsonl: 14 bytes, " in problem(error).message
    assert "held.jsonl" not in problem(error).message
    held_out.write_text('{"text": "longer"}\n')
    start = choose(plan, tmp_path / "out", accept_changes=True)
    assert [line.partition(": ")[2].partition(" bytes")[0] for line in start.notes[-2:]] == [
        "rows.jsonl: 14",
        "more/held.jsonl: 14",
    ]


def test_of_a_large_data_file_both_ends_are_read(make_plan, save, tmp_path, monkeypatch):
    monkeypatch.setattr(data_lock, "_WHOLE", 100)
    monkeypatch.setattr(data_lock, "_END", 30)
    rows = tmp_path / "rows.jsonl"
    content = bytearray(b"x" * 200)
    rows.write_bytes(content)
    plan = reading(make_plan(), dataset="rows.jsonl")
    save(plan, 5)
    for place, is_seen in ((29, True), (30, False), (169, False), (170, True)):
        data_lock._hashed.cache_clear()
        rows.write_bytes(content[:place] + b"y" + content[place + 1 :])
        if is_seen:
            with pytest.raises(SwiftError, match=r"rows\.jsonl: 200 bytes, "):
                choose(plan, tmp_path / "out")
        else:
            assert choose(plan, tmp_path / "out").checkpoint is not None


def test_auto_begins_where_nothing_is_and_begins_again_without_a_checkpoint(make_plan, tmp_path):
    plan = make_plan(output_dir=tmp_path / "out")
    first = choose(plan, "auto")
    assert (first.directory, first.checkpoint, first.goes_on) == (tmp_path / "out", None, False)
    create(plan, first.directory)
    (tmp_path / "out" / "metrics.jsonl").write_text('{"step": 1, "lo')
    again = choose(plan, "auto")
    assert (again.checkpoint, again.goes_on) == (None, True)
    assert "it begins again" in again.notes[0]
    tidy(again.directory, None)
    assert not (tmp_path / "out" / "metrics.jsonl").exists()


def test_auto_does_not_begin_in_a_folder_of_something_else(make_plan, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(SwiftError, match="is not empty"):
        choose(make_plan(output_dir=tmp_path / "out"), "auto")


def test_auto_goes_on_and_ends_with_a_finished_run(make_plan, save, tmp_path):
    plan = make_plan(output_dir=tmp_path / "out")
    taken = save(plan, 5)
    assert choose(plan, "auto").checkpoint == taken
    (tmp_path / "out" / "result.json").write_text("{}")
    assert choose(plan, "auto").is_finished


def test_auto_refuses_to_begin_again_over_checkpoints_that_are_all_damaged(make_plan, save, tmp_path):
    plan = make_plan(output_dir=tmp_path / "out")
    (save(plan, 5) / "model.safetensors").unlink()
    with pytest.raises(SwiftError) as error:
        choose(plan, "auto")
    assert problem(error).code == "broken-checkpoint"


def test_leftovers_are_removed_and_later_checkpoints_set_aside(make_plan, save, tmp_path):
    plan, run = make_plan(), tmp_path / "out"
    for step in (5, 10, 15):
        save(plan, step)
    staging_of(run, 20).mkdir()
    (run / ".metrics.jsonl.abc.part").touch()
    (run / "metrics.jsonl").write_text('{"step": 5, "loss": 1}\n{"step": 6, "loss": 1}\n{"step": 7, "lo')
    notes = tidy(run, run / "checkpoint-10")
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoint-10",
        "checkpoint-5",
        "metrics.jsonl",
        "set-aside",
    ]
    assert (run / "metrics.jsonl").read_text() == '{"step": 5, "loss": 1}\n{"step": 6, "loss": 1}\n'
    assert [path.name for path in (run / "set-aside").iterdir()] == ["checkpoint-15"]
    assert len(notes) == 3


def test_the_newest_and_the_best_are_kept(make_plan, save, tmp_path):
    plan = make_plan()
    for step, loss in ((1, 3.0), (2, 1.0), (3, 2.0), (4, 2.5), (5, 4.0)):
        save(plan, step, limit=2, eval_loss=loss)
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == ["checkpoint-2", "checkpoint-4", "checkpoint-5"]


def test_a_checkpoint_about_to_be_replaced_gets_its_name_back(make_plan, save, tmp_path):
    plan = make_plan()
    save(plan, 5).rename(tmp_path / "out" / ".checkpoint-5.old")
    assert choose(plan, tmp_path / "out").checkpoint == tmp_path / "out" / "checkpoint-5"
