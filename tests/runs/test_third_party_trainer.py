"""A stranger's procedure, command and report section: a wheel brings them, and no line of ours is changed."""

import json
import re
import shutil
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party_trainer"


@pytest.fixture(scope="module")
def stranger(build_wheel, fresh_environment, tmp_path_factory):
    source = tmp_path_factory.mktemp("source") / "plugin"
    shutil.copytree(EXAMPLE, source)
    environment = fresh_environment(build_wheel(source))
    shutil.copy(EXAMPLE / "run.yaml", environment.folder)
    environment("train", "run.yaml", "train.max_steps=6", "train.logging_steps=2", "output_dir=out")
    return environment


def lengths(environment):
    """Return [(step, tokens of its rows)] as logged."""
    lines = [json.loads(line) for line in (environment.folder / "out" / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["row_length"]) for line in lines if "row_length" in line]


def test_its_procedure_trains_by_name_in_its_own_order(stranger):
    plan = json.loads((stranger.folder / "out" / "plan.json").read_text())
    strangers = {(part["kind"], part["name"]) for part in plan["parts"] if part["wheel"] == "acme-swift-curriculum"}
    assert strangers == {("trainer", "curriculum"), ("hooks", "curriculum_report")}
    found = [length for _, length in lengths(stranger)]
    assert len(found) >= 3
    assert found == sorted(set(found))


def test_its_command_stands_beside_ours(stranger):
    assert re.search(r"lengths +From acme-swift-curriculum", stranger("--help"))
    shown = stranger("lengths", "out").splitlines()
    assert shown == [f"step {step}: rows of {length:.1f} tokens" for step, length in lengths(stranger)]
    assert "error[no-run]: elsewhere has no metrics.jsonl" in stranger("lengths", "elsewhere", code=2)


def test_its_section_stands_in_the_report_where_the_run_file_asks_for_it(stranger):
    report = (stranger.folder / "out" / "report.html").read_text()
    assert "Curriculum" in report
    step, length = lengths(stranger)[-1]
    assert f"step {step}: rows of {length:.1f} tokens" in report


def test_without_the_wheel_the_stage_and_the_command_are_unknown(swift):
    shutil.copy(EXAMPLE / "run.yaml", swift.folder)
    output = swift("train", "run.yaml", "output_dir=out", code=2)
    assert "run.yaml:10:10: error[unknown-plugin]: no stage named 'curriculum'" in output
    assert "there is no command 'lengths'" in swift("lengths", "out", code=2)
