import json
import os
import re
from dataclasses import replace

import pytest

from swift_core.artifacts.directory import create, write
from swift_core.artifacts.start import Start, choose
from swift_core.contracts.hooks import ReportSection, hookimpl
from swift_core.errors import SwiftError
from swift_core.plugins.hooks import manager


def problem(error):
    (only,) = error.value.problems
    return only


def test_without_output_dir_the_directory_is_dated_and_new(make_plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = make_plan()
    first = choose(plan).directory
    assert re.fullmatch(r"runs/run-\d{8}-\d{6}", first.as_posix())
    create(plan, first)
    monkeypatch.setattr("time.strftime", lambda _: first.name.removeprefix("run-"))
    assert choose(plan) == Start(first.with_name(first.name + "-2"))


def test_choosing_writes_nothing(make_plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    choose(make_plan())
    choose(make_plan(output_dir=tmp_path / "out"))
    assert os.listdir(tmp_path) == ["run.yaml"]


def test_an_empty_directory_is_taken(make_plan, tmp_path):
    (tmp_path / "out").mkdir()
    assert choose(make_plan(output_dir=tmp_path / "out")) == Start(tmp_path / "out")


def test_a_directory_in_use_is_refused_with_the_ways_out(make_plan, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(SwiftError) as error:
        choose(make_plan(output_dir=tmp_path / "out"))
    found = problem(error)
    assert found.message == f"The run directory {tmp_path / 'out'} is not empty; a run never writes over another."
    assert str(found.place) == "run.yaml:4:1"
    assert found.next_step == "name another output_dir; or leave output_dir out for a new dated folder under runs/"


def test_a_directory_with_a_checkpoint_can_be_resumed(make_plan, tmp_path):
    (tmp_path / "out" / "checkpoint-5").mkdir(parents=True)
    with pytest.raises(SwiftError) as error:
        choose(make_plan(output_dir=tmp_path / "out"))
    assert f"--resume {tmp_path / 'out'}" in problem(error).next_step


def test_a_file_is_no_directory(make_plan, tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(SwiftError, match="is a file"):
        choose(make_plan(output_dir=tmp_path / "out"))


def test_a_directory_that_was_taken_meanwhile_is_refused(make_plan, tmp_path):
    plan = make_plan(output_dir=tmp_path / "out")
    directory = choose(plan).directory
    create(plan, directory)
    with pytest.raises(SwiftError, match="is not empty"):
        create(plan, directory)


def test_a_directory_that_cannot_be_made_is_told(make_plan, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SwiftError, match=r"cannot be made: Not a directory"):
        create(make_plan(), tmp_path / "file" / "out")


def test_the_directory_says_what_will_be_done(make_plan, tmp_path):
    plan = make_plan(output_dir=tmp_path / "out")
    directory = create(plan, tmp_path / "out")
    written = json.loads((directory / "plan.json").read_text())
    assert [part["name"] for part in written["parts"]][:2] == ["dpo", "dpo"]
    assert (directory / "run.yaml").read_bytes() == plan.config.path.read_bytes()
    versions = json.loads((directory / "versions.json").read_text())
    assert versions["libraries"]["torch"].startswith("2.")
    assert versions["wheels"]["swift-core"]
    assert "acme" not in versions["wheels"]


def test_two_plugin_files_of_one_name_are_both_kept(make_plan, tmp_path):
    plan = make_plan(output_dir=tmp_path / "out")
    files = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        files.append(tmp_path / folder / "plugin.py")
        files[-1].write_text(f"# {folder}\n")
    loss, optimizer = (
        replace(part, plugin=replace(part.plugin, origin="file", path=path))
        for part, path in zip((plan.loss, plan.optimizer), files, strict=True)
    )
    create(replace(plan, loss=loss, optimizer=optimizer), tmp_path / "out")
    copies = sorted((tmp_path / "out" / "plugins").iterdir())
    assert {copy.read_text() for copy in copies} == {"# a\n", "# b\n"}
    assert all(re.fullmatch(r"plugin-[0-9a-f]{12}\.py", copy.name) for copy in copies)


@pytest.fixture
def finished(make_result):
    """Return a result whose run directory is made, as training leaves it."""

    def make(**changes):
        result = make_result(**changes)
        create(result.parts.plan, result.parts.directory)
        return result

    return make


def test_a_finished_run_holds_weights_tokenizer_result_and_report(finished):
    directory = write(finished())
    assert (directory / "adapter" / "weights.txt").read_text() == "trained"
    assert (directory / "adapter" / "chat_template.jinja").exists()
    result = json.loads((directory / "result.json").read_text())
    assert result["before"]["eval_loss"] == 0.7
    assert result["after"]["eval_reward_accuracy"] == 1.0
    assert (result["num_steps"], result["seconds"], result["interrupted"]) == (20, 12.5, False)
    assert result["memory"]["cpu"] > 10_000_000
    assert result["mask_preview"][0]["num_trained"] == 2
    assert (directory / "report.html").exists()
    assert not [name for name in os.listdir(directory) if name.endswith((".part", ".old"))]


def test_weights_that_cannot_be_written_leave_no_half_of_them(finished):
    result = finished()
    result.parts.tuner.fails = True
    with pytest.raises(OSError, match="No space"):
        write(result)
    assert not (result.parts.directory / "adapter").exists()
    assert not (result.parts.directory / "result.json").exists()


def test_figures_that_are_no_number_stay_valid_json(finished):
    directory = write(replace(finished(), after={"eval_loss": float("nan")}))

    def refuse(constant):
        raise AssertionError(constant)

    result = json.loads((directory / "result.json").read_text(), parse_constant=refuse)
    assert result["after"]["eval_loss"] == "nan"


def test_half_a_surrogate_pair_can_be_saved(finished):
    directory = write(finished(samples=[{"prompt": "\ud83d", "expected": None, "before": "", "after": ""}]))
    assert json.loads((directory / "result.json").read_text())["samples"][0]["prompt"] == "\ud83d"


class Footnote:
    @hookimpl
    def swift_report_section(self, result):
        return ReportSection("Foot <note>", f"{result.num_steps} steps & more")


class Broken:
    @hookimpl
    def swift_report_section(self, result):
        raise RuntimeError("no section today")


def test_hooks_add_sections_to_the_report(finished):
    directory = write(finished(hooks=manager([Footnote()])))
    assert "<h2>Foot &lt;note&gt;</h2>" in (directory / "report.html").read_text()
    assert "20 steps &amp; more" in (directory / "report.html").read_text()


def test_a_broken_hook_costs_neither_weights_nor_figures(finished):
    result = finished(hooks=manager([Broken()]))
    with pytest.raises(RuntimeError, match="no section today"):
        write(result)
    assert (result.parts.directory / "adapter" / "weights.txt").exists()
    assert (result.parts.directory / "result.json").exists()
