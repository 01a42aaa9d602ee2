"""Stage `ppo`: the value function's part of the loss, its checkpoint, and its leaving."""

import pytest
import torch

from swift_core.train.policy.gae import generalised, token_rewards, whitened
from swift_core.train.policy.ppo import FILE, ProximalPolicy
from swift_loss_zoo.policy.ppo import PPO


@pytest.fixture
def make_ppo(make_trainer, tiny_llama):
    def make(rollout=None, **train):
        reference = tiny_llama(seed=9).requires_grad_(False)
        trainer = make_trainer(PPO(), reference, {"kl_coef": 0.1, **(rollout or {})}, procedure=ProximalPolicy, **train)
        torch.manual_seed(1)
        torch.nn.init.normal_(trainer.value_head.weight)
        return trainer

    return make


def one_batch(trainer):
    (batch,) = trainer.prepare_step([{"prompts": [trainer.parts.train_dataset[index] for index in (0, 1)]}])
    return batch


def test_the_loss_is_the_papers_on_values_and_rewards_written_out(make_ppo):
    trainer = make_ppo()
    batch = one_batch(trainer)
    model, reference = trainer.module, trainer.parts.reference
    squares, advantages, masks = [], [], []
    with torch.no_grad():
        for index in range(8):
            ids = batch["input_ids"][index : index + 1, : int(batch["attention_mask"][index].sum())]
            labels = ids[0, 2:]
            out = model(ids, output_hidden_states=True)
            logps = out.logits.log_softmax(-1)[0, 1:-1].gather(1, labels[:, None]).T
            kept = reference(ids).logits.log_softmax(-1)[0, 1:-1].gather(1, labels[:, None]).T
            values = trainer.value_head(out.hidden_states[-1])[0, 1:-1].T
            mask = torch.ones_like(logps).bool()
            total = torch.tensor([float(len(labels) - 1)])  # the reward of the fixture: tokens but the end
            rewards = token_rewards(total, logps, kept, mask, kl_coef=0.1)
            advantages.append(generalised(rewards, values, mask, gamma=1.0, lam=0.95))
            masks.append(mask)
            squares.append(advantages[-1].square() / 2)  # v - R, and nothing has moved yet
    surrogates = [-advantage for advantage in whitened(advantages, masks, lambda value: value)]
    surrogate, square = torch.cat(surrogates, 1), torch.cat(squares, 1)
    outputs = trainer.make_outputs(model, batch)
    result = trainer.parts.loss(outputs)
    mean = (result.losses * result.weights).sum() / result.weights.sum()
    assert mean.item() == pytest.approx((surrogate + 0.1 * square).mean().item(), rel=1e-4)


def test_the_value_function_learns_and_leaves(make_ppo):
    trainer = make_ppo(max_steps=2)
    before = trainer.value_head.weight.detach().clone()
    trainer.train()
    assert not torch.equal(trainer.value_head.weight, before)
    assert not any("value_head" in name for name in trainer.module.state_dict())


def test_further_steps_on_the_same_answers_keep_what_was_expected_of_them(make_ppo):
    trainer = make_ppo({"num_iterations": 2}, max_steps=2)
    trainer.train()
    assert len(trainer.parts.engine.asked) == 1
    assert trainer._since_log is not None


def test_a_resumed_run_has_the_value_function_of_the_run_that_went_on(make_ppo):
    options = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    whole = make_ppo(**options)
    whole.train()
    checkpoint = whole.parts.directory / "checkpoint-2"
    assert (checkpoint / FILE).exists()
    resumed = make_ppo(**options)
    resumed.parts.resume_from = checkpoint
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert torch.equal(resumed.value_head.weight, whole.value_head.weight)
    for mine, theirs in zip(resumed.module.parameters(), whole.module.parameters(), strict=True):
        assert torch.equal(mine, theirs)
