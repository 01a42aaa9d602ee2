"""`swift plan` and `swift schema`, run as a user runs them."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

GOOD = (
    "model: {model_id: demo:tiny}\ndata: {dataset: pairs.jsonl, val_dataset: 'pairs.jsonl#5'}\n"
    "train: {stage: dpo, loss_type: dpo, loss_kwargs: {beta: 0.2}, optimizer_type: galore_adamw, "
    "optimizer_kwargs: {lr: 2e-5, rank: 64}}\n"
)
HEAVY = ("torch", "transformers", "peft", "datasets")


def swift(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `swift` in `folder`."""
    command = [sys.executable, "-m", "swift_core", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a good and a bad run file."""
    row = {"prompt": "Say it.", "chosen": "Yes.", "rejected": "No."}
    (tmp_path / "pairs.jsonl").write_text(f"{json.dumps(row)}\n" * 20)
    (tmp_path / "run.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(GOOD.replace("loss_type: dpo", "loss_type: dppo").replace("rank", "rnk"))
    return tmp_path


def test_a_plan_shows_values_with_origins_and_parts_with_wheels(folder: Path) -> None:
    done = swift(folder, "plan", "run.yaml", "train.seed=7")

    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "train.seed 7 command line:1:12" in lines
    assert "lr = 2e-05 run.yaml:3:116" in lines
    assert any(line.startswith("loss dpo swift-loss-zoo ") for line in lines)
    assert any(line.startswith("data 20 rows to train on, 5 held out: pairs.jsonl (preference)") for line in lines)
    assert any(line.startswith("steps 9, 3 an epoch; effective batch 8 ") for line in lines)
    assert "launch swift train run.yaml" in lines


def test_a_plan_as_json_has_the_figures(folder: Path) -> None:
    done = swift(folder, "plan", "run.yaml", "--json")

    plan = json.loads(done.stdout)
    assert plan["settings"]["train"]["loss_kwargs"]["value"] == {"beta": 0.2}
    assert plan["facts"]["data"]["num_rows"] == 20
    assert plan["facts"]["launch"] == "swift train run.yaml"


def test_a_bad_run_file_is_told_in_half_a_second_with_code_2(folder: Path) -> None:
    seconds = []
    for _ in range(5):  # the least of several: other work on the machine only ever adds
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = swift(folder, "plan", "bad.yaml")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    assert done.returncode == 2
    assert done.stdout == ""
    assert "bad.yaml:3:32: error[unknown-plugin]: no loss named 'dppo'. Did you mean 'ppo' or 'dpo'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert min(seconds) < 0.5
    assert sorted(path.name for path in folder.iterdir()) == ["bad.yaml", "pairs.jsonl", "run.yaml"]


@pytest.mark.parametrize("arguments", [["plan", "run.yaml"], ["plan", "run.yaml", "--json"], ["schema"]])
def test_nothing_heavy_is_imported(folder: Path, arguments: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['swift', *{arguments!r}]\n"
        "from swift_core.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code, done.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)

    assert done.stderr.strip() == "[]"


def test_the_schema_is_written_with_the_line_for_editors(folder: Path) -> None:
    done = swift(folder, "schema", "--out", "swift.schema.json")

    assert "# yaml-language-server: $schema=swift.schema.json" in done.stdout
    assert (
        json.loads((folder / "swift.schema.json").read_text())["$schema"] == "http://json-schema.org/draft-07/schema#"
    )
    assert "yaml-language-server" in swift(folder, "schema", "--help").stdout


def test_a_schema_for_a_folder_that_is_not_there_is_a_readable_error(folder: Path) -> None:
    done = swift(folder, "schema", "--out", "nowhere/swift.schema.json")

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
