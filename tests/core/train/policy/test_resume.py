"""A run that stops between steps on the same answers goes on with them, bit for bit."""

import pytest
import torch

from swift_loss_zoo.policy.grpo import GRPO


@pytest.mark.parametrize("stopped_at", [1, 2, 3])
def test_a_resumed_run_equals_the_one_that_went_on(make_trainer, stopped_at):
    options = {"max_steps": 5, "save_strategy": "steps", "save_steps": 1, "save_total_limit": 9}
    rollout = {"num_iterations": 2}
    whole = make_trainer(GRPO(beta=0.0), rollout=rollout, **options)
    whole.train()
    checkpoint = whole.parts.directory / f"checkpoint-{stopped_at}"
    assert (checkpoint / "answers-0.safetensors").exists() is (stopped_at % 2 == 1)
    resumed = make_trainer(GRPO(beta=0.0), rollout=rollout, **options)
    resumed.parts.resume_from = checkpoint
    resumed.train(resume_from_checkpoint=str(checkpoint))
    for mine, theirs in zip(resumed.module.parameters(), whole.module.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    drawn = [asked for asked, _ in resumed.parts.engine.asked]
    assert drawn == [asked for asked, _ in whole.parts.engine.asked][-len(drawn) :]
    assert len(drawn) == {1: 2, 2: 2, 3: 1}[stopped_at]
