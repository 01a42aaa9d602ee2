"""Held-out prompts: rewards of the model's own answers, and no word of those that abstained."""

import pytest

from swift_core.contracts.data import Record
from swift_core.contracts.handover import RewardPart
from swift_core.train.evaluate import Answers
from swift_core.train.policy import sampled
from swift_loss_zoo.policy.grpo import GRPO


def some(infer_requests, ground_truths, **columns):
    """Abstain from answers that say nothing, else give a point for each letter."""
    assert list(columns["level"]) == [0, 1, 2]
    return [float(len(request.response)) or None for request in infer_requests]


def right(infer_requests, ground_truths, **_):
    return [float(r.response == truth) for r, truth in zip(infer_requests, ground_truths, strict=True)]


def test_rewards_of_held_out_answers_are_means_over_those_that_were_judged(make_trainer, monkeypatch):
    rewards = [RewardPart("some", 2.0, some), RewardPart("right", 0.0, right)]
    trainer = make_trainer(GRPO(beta=0.0), rewards=rewards)
    records = [Record(where=f"x:{i}", prompt=f"q{i}", ground_truth="ab", columns={"level": i}) for i in range(3)]
    monkeypatch.setattr(sampled, "answer", lambda *_, **__: Answers(records, ["ab", "", "abcd"]))
    metrics = trainer.evaluation_loop(None, "").metrics
    assert metrics == pytest.approx(
        {
            "eval_reward": (4.0 + 8.0) / 2,
            "eval_reward/some": 3.0,
            "eval_abstained/some": 1 / 3,
            "eval_reward/right": 1 / 3,
        }
    )
