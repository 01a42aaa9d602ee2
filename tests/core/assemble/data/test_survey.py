"""What `swift plan` learns of the data."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from swift_core.assemble.data import survey as module
from swift_core.assemble.data.load import load_data
from swift_core.assemble.data.survey import survey
from swift_core.assemble.encoder import LightEncoder
from swift_core.errors import SwiftError


def chat(question, answer):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def test_survey_says_what_loading_then_counts(plan_of, write_rows, chatml_folder):
    write_rows("train.jsonl", *[chat("q", "a" * number) for number in range(1, 40)])
    plan = plan_of({"dataset": "train.jsonl", "max_length": 40, "overlong": "truncate", "split_dataset_ratio": 0.1})
    found, facts = survey(plan), load_data(plan, LightEncoder.open(chatml_folder)).facts
    assert (found.num_rows, found.num_held_out) == (facts["rows_read"], facts["eval_rows_read"])
    assert found.num_rows + found.num_held_out == 39
    lengths = found.lengths
    assert (lengths.p50, lengths.p99, lengths.longest) == tuple(
        facts[f"length_{name}"] for name in ("p50", "p99", "max")
    )
    assert lengths.num_truncated == facts["rows_truncated"] > 0
    assert lengths.num_trained_tokens == facts["trained_tokens"]
    assert lengths.ends_trained
    assert found.notes == ()


@pytest.mark.parametrize(("batch", "accumulation", "epochs"), [(4, 1, 1.0), (3, 2, 2.5), (100, 1, 1.0), (2, 7, 3.0)])
def test_steps_are_those_of_the_trainer(plan_of, write_rows, tmp_path, batch, accumulation, epochs):
    import torch
    from transformers import Trainer, TrainingArguments

    write_rows("train.jsonl", *[chat("q", "a")] * 17)
    settings = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
    plan = plan_of({"dataset": "train.jsonl"}, num_train_epochs=epochs, **settings | {"max_steps": -1})
    arguments = TrainingArguments(str(tmp_path), num_train_epochs=epochs, use_cpu=True, report_to=[], **settings)
    trainer = Trainer(torch.nn.Linear(1, 1), arguments, train_dataset=[{"x": 0}] * 17)
    counts = trainer.set_initial_training_values(arguments, trainer.get_train_dataloader())
    found = survey(plan)
    assert found.steps_per_epoch == counts[1]
    assert found.num_steps == counts[-1]
    assert found.num_steps == math.ceil(epochs * found.steps_per_epoch)


def test_many_rows_are_looked_at_in_part_and_that_is_said(plan_of, write_rows, monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 10)
    write_rows("train.jsonl", *[chat("q", "a" * number) for number in range(1, 31)])
    plan = plan_of({"dataset": "train.jsonl", "max_length": 38, "overlong": "drop"})
    found = survey(plan)
    assert found.notes == ("lengths are those of 10 of 30 rows",)
    assert found.lengths.num_looked_at == 10
    assert 0 < found.lengths.num_dropped < 10
    assert found.num_train_rows == 3 * (10 - found.lengths.num_dropped)


def test_model_that_is_not_here_leaves_lengths_unknown(plan_of, write_rows, tmp_path, monkeypatch):
    monkeypatch.setenv("SWIFT_CACHE", str(tmp_path / "cache"))
    write_rows("train.jsonl", chat("q", "a"))
    found = survey(plan_of({"dataset": "train.jsonl"}, model="demo:tiny"))
    assert found.lengths is None
    assert found.num_train_rows == 1
    assert "not on this machine yet" in found.notes[0]


def test_data_that_must_be_downloaded_is_not_looked_at(plan_of):
    assert survey(plan_of({"dataset": "acme/words"})) is None


def test_wrong_rows_are_told_before_anything_is_trained(plan_of, write_rows):
    write_rows("train.jsonl", chat("q", "a" * 50))
    with pytest.raises(SwiftError, match="overlong-rows"):
        survey(plan_of({"dataset": "train.jsonl", "max_length": 20}))


def test_survey_imports_no_heavy_library(plan_of, write_rows, tmp_path):
    write_rows("train.jsonl", chat("q", "a"))
    plan_of({"dataset": "train.jsonl"})
    code = f"""
import sys
from pathlib import Path
from swift_core.assemble.data.survey import survey
from swift_core.config.load import load
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve
assert survey(resolve(load(Path({str(tmp_path / "run.yaml")!r})), installed())).lengths.num_looked_at == 1
print([name for name in ("torch", "transformers", "peft", "datasets") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
