"""Callbacks that look on: whole runs on the tiny model, with them and without, end in the same weights."""

import json
import math
import re

import pytest
import torch
from safetensors.torch import load_file

from swift_core.builtins.callbacks.lr_finder import LrFinder, smoothed, steepest
from swift_core.builtins.callbacks.sample_preview import SamplePreview
from swift_core.errors import SwiftError
from swift_core.run import run

RUN = """\
model: {{model_id: {model}}}
data: {{dataset: demo:chat#32, val_dataset: demo:chat-heldout#6}}
train:
  tuner_strategy: lora
  tuner_kwargs: {{lora_dropout: 0.1}}
  max_steps: 5
  logging_steps: 1
  save_strategy: "no"
  per_device_train_batch_size: 2
  gradient_accumulation_steps: 2
  eval_generation_rows: 0
  callbacks: {callbacks}
output_dir: {folder}
"""

LOOKING = [
    {"name": "lr_finder", "kwargs": {"num_steps": 10, "min_lr": 1e-4, "max_lr": 3.0}},
    {"name": "sample_preview", "kwargs": {"every": 2, "rows": 2, "max_new_tokens": 4}},
]


@pytest.fixture
def train(tmp_path, tiny_folder):
    """Return a function (name, callbacks, overrides) -> the run directory."""

    def work(name, callbacks, *overrides):
        path = tmp_path / f"{name}.yaml"
        path.write_text(RUN.format(model=tiny_folder, folder=tmp_path / name, callbacks=json.dumps(callbacks)))
        return run(path, overrides, allow_code=True)

    return work


def test_a_sweep_and_previews_change_nothing_in_a_run(train, tmp_path, capsys):
    plain = train("plain", [])
    (tmp_path / "rewards.py").write_text("def is_short(completions):\n    return [0.5, 0.25]\n")
    reward = "reward.orms=['./rewards.py:is_short']"
    watched = train("watched", LOOKING, reward, "plugins.sandbox.mode=off")
    first, second = (load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (plain, watched))
    assert all(torch.equal(first[name], second[name]) for name in first)
    losses = [
        [json.loads(line).get("loss") for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (plain, watched)
    ]
    assert losses[0] == losses[1]

    found = json.loads((watched / "lr_finder.json").read_text())
    rates = found["learning_rates"]
    assert len(rates) == len(found["losses"]) > 5
    assert rates[1] / rates[0] == pytest.approx((3.0 / 1e-4) ** (1 / 9))
    assert found["suggested"] in rates
    printed = capsys.readouterr().err
    assert f"lr_finder: the loss falls fastest at {found['suggested']:.2g}" in printed

    lines = [json.loads(line) for line in (watched / "samples.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 2, 4, 4, 5, 5]
    assert [list(line["rewards"].values()) for line in lines] == [[0.5], [0.25]] * 3
    assert all(line["expected"] for line in lines)
    assert re.search(r"sample_preview, step 4  \S*is_short 0.25\n", printed)


def test_the_suggested_rate_is_where_the_smoothed_loss_falls_fastest():
    rates = [10.0**exponent for exponent in range(-8, 2)]
    losses = [5.0, 5.0, 5.0, 4.9, 4.0, 2.0, 1.0, 1.0, 3.0, 9.0]
    slow = []
    for count in range(1, len(losses) + 1):
        weights = [0.2 * 0.8 ** (count - 1 - past) for past in range(count)]
        slow.append(sum(w * loss for w, loss in zip(weights, losses, strict=False)) / sum(weights))
    assert smoothed(losses) == pytest.approx(slow)
    falls = [slow[index + 1] - slow[index] for index in range(9)]
    assert steepest(rates, losses) == rates[falls.index(min(falls))]
    assert math.isnan(steepest(rates[:3], [1.0, 2.0, 3.0]))


def test_a_preview_answers_prompts_of_its_own(train):
    asked = [{"name": "sample_preview", "kwargs": {"every": 5, "prompts": ["What is 1 + 1?"], "max_new_tokens": 2}}]
    lines = (train("own", asked) / "samples.jsonl").read_text().splitlines()
    assert [json.loads(line)["prompt"] for line in lines] == ["What is 1 + 1?"]


SPIKING = """
from swift_core.plugin_api import LossOutput


class Spiking:
    \"\"\"Cross entropy that is a thousand times as large in the fourth step.\"\"\"

    def __init__(self):
        self.calls = 0

    def __call__(self, tokens):
        if tokens.logps.requires_grad:
            self.calls += 1
        factor = 1000.0 if self.calls in (7, 8) else 1.0
        return LossOutput(-factor * tokens.logps, weights=tokens.weights)
"""


def spiking(folder):
    (folder / "spiking.py").write_text(SPIKING)
    return "train.loss_type=./spiking.py:Spiking"


def test_the_guard_leaves_a_spike_out_and_names_its_rows(train, tmp_path, capsys):
    guard = [{"name": "loss_guard", "kwargs": {"action": "skip", "patience": 2}}]
    folder = train("guarded", guard, spiking(tmp_path))
    printed = capsys.readouterr().err
    assert re.search(
        r"loss_guard: the loss of step 4 is \d+ \(micro-batch 1, 2 of 2, rows [\d, ]+\); the step is left", printed
    )
    logged = [json.loads(line).get("loss") for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(loss is None or math.isnan(loss) or loss < 100 for loss in logged)


def test_the_guard_names_the_rows_of_the_worst_step_when_it_stops(train, tmp_path):
    guard = [{"name": "loss_guard", "kwargs": {"patience": 1}}]
    with pytest.raises(SwiftError, match=r"at step 4, worst in step 4 \(micro-batch 1, 2 of 2, rows [\d, ]+\): more"):
        train("stopped", guard, spiking(tmp_path))


IN_BACKWARD = ("train.update_in_backward=true", "train.gradient_accumulation_steps=1", "train.max_grad_norm=0")


@pytest.mark.parametrize(
    ("callback", "overrides", "message"),
    [
        ("lr_finder", IN_BACKWARD, "callback lr_finder cannot sweep in this run: weights move in"),
        ("loss_guard", IN_BACKWARD, "callback loss_guard cannot skip a step here"),
        ("sample_preview", ("data.val_dataset=[]",), "callback sample_preview has no prompt"),
    ],
)
def test_a_run_that_a_callback_cannot_watch_is_refused_before_its_first_step(train, callback, overrides, message):
    kwargs = {"action": "skip"} if callback == "loss_guard" else {}
    with pytest.raises(SwiftError, match=message):
        train("refused", [{"name": callback, "kwargs": kwargs}], *overrides)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (LrFinder, {"min_lr": 1.0}, "max_lr must be above min_lr and both > 0, got 1.0 and 1.0"),
        (LrFinder, {"num_steps": 7}, "num_steps must be >= 8, got 7"),
        (LrFinder, {"stop_factor": 1.0}, "stop_factor must be > 1, got 1.0"),
        (SamplePreview, {"every": 0}, "every must be >= 1, got 0"),
    ],
)
def test_wrong_options_are_refused(make, options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make(**options)
