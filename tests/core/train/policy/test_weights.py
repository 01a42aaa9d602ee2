"""Weights that change over the steps, and two rewards of one class, by their names in the run file."""

import math
from pathlib import Path

import pytest

from swift_core.assemble.rewards import build_rewards
from swift_core.config.load import parse
from swift_core.contracts.handover import RewardPart
from swift_core.contracts.settings import WeightSchedule
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve
from swift_core.train.policy.weights import weight_at
from swift_loss_zoo.policy.grpo import GRPO


@pytest.mark.parametrize(
    ("kind", "middle"), [("linear", 1.0), ("cosine", 2.0 - (1 - math.cos(math.pi / 2))), ("step", 2.0)]
)
def test_a_weight_goes_from_its_start_to_its_end(kind, middle):
    schedule = WeightSchedule(schedule=kind, start=2.0, end=0.0, steps=4)
    assert [weight_at(schedule, step) for step in (0, 2, 4, 9)] == pytest.approx([2.0, middle, 0.0, 0.0])


def test_each_step_has_its_weights_and_tells_them(make_trainer):
    def one(infer_requests, ground_truths, **_):
        return [1.0] * len(infer_requests)

    fading = RewardPart("fading", 4.0, one, "orm", WeightSchedule(start=4.0, end=0.0, steps=2))
    trainer = make_trainer(GRPO(beta=0.0), rewards=[fading, RewardPart("watched", 0.0, one)], max_steps=3)
    trainer.train()
    lines = [line for line in trainer.state.log_history if "weight/fading" in line]
    assert [line["weight/fading"] for line in lines] == [4.0, 2.0, 0.0]
    assert [line.get("reward") for line in lines] == [4.0, 2.0, None]  # a weight of 0 only reports
    assert [line["reward/fading"] for line in lines] == [1.0] * 3
    assert "weight/watched" not in lines[0]


def test_the_run_file_says_weights_schedules_and_filters_and_two_of_one_class_have_two_names():
    text = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:prompts"}
train: {stage: grpo}
reward:
  orms:
    - {name: length, kwargs: {max_length: 20}, weight: {start: 0.5, end: 0.0, steps: 10}}
    - {name: length, kwargs: {max_length: 40}, weight: 0, when: {kind: [sum, 3]}}
    - math
"""
    plan = resolve(parse(text, Path("run.yaml")), installed(), planning=True)
    parts = build_rewards(plan)
    assert [(part.name, part.weight) for part in parts] == [("length_0", 0.5), ("length_1", 0), ("math", 1.0)]
    assert parts[0].schedule == WeightSchedule(start=0.5, end=0.0, steps=10)
    assert [part.score.when for part in parts] == [{}, {"kind": ["sum", 3]}, {}]
