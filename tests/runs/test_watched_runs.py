"""Runs with callbacks, metrics on predictions and a schedule by name, from the outside."""

import json
import math

import pytest

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:chat", val_dataset: "demo:chat-heldout"}
train:
  stage: sft
  max_steps: 24
  per_device_train_batch_size: 16
  logging_steps: 1
  eval_strategy: steps
  eval_steps: 3
  save_strategy: "no"
  metrics: [acc, perplexity]
output_dir: out
"""

EARLY = """\
train:
  learning_rate: 2e-3
  lr_scheduler_type: polynomial
  lr_scheduler_kwargs: {lr_end: 1e-4, power: 2.0}
  callbacks:
    - {name: ema, kwargs: {decay: 0.9}}
    - {name: early_stopping, kwargs: {patience: 1, min_delta: 0.15}}
    - loss_guard
"""

RUNAWAY = """\
train:
  learning_rate: 0.5
  lr_scheduler_type: cosine_with_min_lr
  lr_scheduler_kwargs: {min_lr: 0.1}
  warmup_steps: 6
  callbacks: [{name: loss_guard, kwargs: {patience: 2}}]
"""

NOT_MEASURED = """\
train:
  callbacks: [{name: early_stopping, kwargs: {metric: exact_match}}]
"""


def written(keys):
    """Return the run file with more keys of `train`."""
    return RUN.replace("train:\n", keys)


def lines(folder):
    return [json.loads(line) for line in (folder / "out" / "metrics.jsonl").read_text().splitlines()]


def test_a_run_stops_early_and_keeps_the_best_average(swift):
    swift.write("run.yaml", written(EARLY))
    output = swift("train", "run.yaml")
    measured = {line["step"]: line for line in lines(swift.folder)[:-1] if "eval_loss" in line}
    after = json.loads((swift.folder / "out" / "result.json").read_text())["after"]
    best = int(output.partition("the weights of step ")[2].split()[0])
    assert 0 < best < max(measured) < 24
    assert after["eval_loss"] == pytest.approx(measured[best]["eval_loss"], rel=1e-6)
    assert after["eval_loss"] < measured[0]["eval_loss"]
    assert after["eval_perplexity"] == pytest.approx(math.exp(after["eval_loss"]), rel=1e-4)
    assert measured[0]["eval_token_accuracy"] < after["eval_token_accuracy"] < 1


def test_a_run_whose_loss_runs_away_is_stopped_with_its_steps_in_the_log(swift):
    swift.write("run.yaml", written(RUNAWAY))
    output = swift("train", "run.yaml", code=2)
    assert "error[loss-spike]: callback loss_guard stopped the run: the loss was " in output
    last = lines(swift.folder)[-1]["step"]
    assert f" at step {last}, worst in step {last} (micro-batch 1 of 1, rows " in output
    assert ": more than 3 times" in output
    assert not (swift.folder / "out" / "adapter").exists()


def test_a_figure_nobody_measures_is_told_before_the_first_step(swift):
    swift.write("run.yaml", written(NOT_MEASURED))
    output = swift("train", "run.yaml", code=2)
    assert "error[unknown-metric]: callback early_stopping watches eval_exact_match; " in output
    assert "gives eval_loss, eval_token_accuracy, eval_sequence_accuracy, eval_perplexity." in output
    assert "step 1" not in output
