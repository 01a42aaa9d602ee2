"""`swift export`: what an exporter wrote is there whole, or nothing is, and its faults are told."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift_core.artifacts.export import export
from swift_core.assemble.trained import load_base, open_run
from swift_core.cli.export import command
from swift_core.errors import SwiftError
from swift_core.plugins.registry import installed
from swift_core.run import run

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:chat#16"}
train:
  tuner_strategy: TUNER
  learning_rate: 1e-2
  max_steps: 2
  per_device_train_batch_size: 4
  save_strategy: "no"
"""
EXPORTERS = '''
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Card:
    """A text file."""

    title: str = "none"

    def export(self, run: Path, target: Path, /) -> Path:
        (target / "card.txt").write_text(self.title)
        return target / "card.txt"


class Half:
    def export(self, run, target, /):
        (target / "half").write_text("half")
        raise KeyError("weights")


class Refusing:
    def export(self, run, target, /):
        raise ValueError("only adapters can be exported")


class Elsewhere:
    def export(self, run, target, /):
        return run
'''


@pytest.fixture
def offered(tmp_path, monkeypatch):
    """Return a function (exporter, options) -> what `export` makes of a folder `run` with an exporter of a file."""
    (tmp_path / "exporters.py").write_text(EXPORTERS)
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)

    def make(name, **options):
        registry = installed(allow_code=True)
        return export(tmp_path / "run", tmp_path / "out" / "it", f"./exporters.py:{name}", options, registry)

    return make


def test_what_was_written_is_in_the_new_folder(offered, tmp_path):
    assert offered("Card", title="mine") == tmp_path / "out" / "it" / "card.txt"
    assert (tmp_path / "out" / "it" / "card.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Half", {}, r"exporter 'Half' of exporters\.py raised KeyError: 'weights'"),
        ("Refusing", {}, r"exporter 'Refusing' of exporters\.py cannot export .*: only adapters can be exported\."),
        ("Elsewhere", {}, r"exporter 'Elsewhere' of exporters\.py returned .*run'\), and what it wrote"),
        ("Card", {"titel": "x"}, r"there is no option 'titel'; the option is title\. Did you mean 'title'\?"),
        ("Card", {"title": 3}, r"title must be a string, got 3"),
        ("Crad", {}, r"Crad"),
    ],
)
def test_a_fault_is_told_and_nothing_is_left(offered, tmp_path, name, options, message):
    with pytest.raises(SwiftError, match=message):
        offered(name, **options)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_nothing_is_written_over(offered, tmp_path):
    offered("Card")
    with pytest.raises(SwiftError, match=r"it is there already, and an export never writes over anything\."):
        offered("Card", title="again")
    assert (tmp_path / "out" / "it" / "card.txt").read_text() == "none"


@pytest.mark.parametrize("tuner", ["lora", "full"])
def test_the_whole_model_answers_as_the_trained_one(demo_folder, tmp_path, tuner):
    (tmp_path / "run.yaml").write_text(RUN.replace("TUNER", tuner))
    trained = run(tmp_path / "run.yaml", [f"output_dir={tmp_path / 'out'}"])
    said = CliRunner().invoke(command, [str(trained), str(tmp_path / "whole")], catch_exceptions=False).output
    assert said == f"{tmp_path / 'whole'}\n"
    ids = AutoTokenizer.from_pretrained(tmp_path / "whole")("What is 2 plus 3?", return_tensors="pt")["input_ids"]
    opened = open_run(trained)
    with torch.no_grad():
        base = load_base(opened)
        before = base(ids).logits.clone()
        expected = opened.tuner.from_pretrained(base, opened.artifact)(ids).logits
        whole = AutoModelForCausalLM.from_pretrained(tmp_path / "whole", dtype=torch.float32)(ids).logits
    torch.testing.assert_close(whole, expected, atol=1e-4, rtol=1e-4)
    assert (expected - before).abs().max() > 1e-2
