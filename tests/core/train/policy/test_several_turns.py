"""Answers of several turns in training: every log-probability is that of a token the model wrote, after all before."""

import pytest
import torch

from swift_core.contracts.engine import Rollout
from swift_core.contracts.handover import RewardPart
from swift_core.train.policy.online_pairs import OnlinePreference
from swift_core.train.policy.procedure import Policy
from swift_loss_zoo.pair.dpo import DPO
from swift_loss_zoo.policy.grpo import GRPO

ANSWERS = (
    ([10, 11, 2], [True, True, True]),
    ([10, 2, 20, 21, 12, 2], [True, True, False, False, True, True]),
    ([13, 2, 22, 14, 2, 23, 24, 15, 2], [True, True, False, True, True, False, False, True, True]),
    ([16, 17, 18, 2], [True, True, True, True]),
)
"""Tokens of each answer, and which of them the model wrote."""


class Conversing:
    """An engine whose answers have gaps."""

    def generate(self, asked, params, /):
        turns = [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]
        return [
            [
                Rollout(list(ids), list(answer), True, None, list(own), (*turns, {"role": "assistant", "content": "c"}))
                for answer, own in ANSWERS
            ]
            for ids in asked
        ]

    def update_weights(self, weights, version, /):
        pass


def by_turn(infer_requests, ground_truths, **_):
    """A reward by the place of the answer, with what core hands over checked."""
    assert [turn["content"] for turn in infer_requests[0].messages][1:] == ["a", "b", "c"]
    assert infer_requests[0].response == "c"
    return [float(index % 4) for index in range(len(infer_requests))]


def told_by(model, prompt):
    """Return the log-probabilities of what the model wrote in each answer, from a pass over all of it."""
    result = []
    for answer, own in ANSWERS:
        ids = torch.tensor([[*prompt, *answer]])
        logps = model(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[len(prompt) - 1 :, 0]
        result.append(logps[torch.tensor(own)])
    return result


@pytest.fixture
def make_talking(make_trainer, tiny_llama):
    def make(loss, procedure, **options):
        rewards = [RewardPart("by_turn", 1.0, by_turn)]
        reference = tiny_llama(seed=9)
        made = make_trainer(loss, reference, {"num_iterations": 2}, rewards, procedure, engine=Conversing(), **options)
        (made.batch,) = made.prepare_step([{"prompts": [made.parts.train_dataset[0]]}])
        return made

    return make


def assert_rows(values, mask, expected):
    for row, own, told in zip(values, mask, expected, strict=True):
        torch.testing.assert_close(row[own], told, atol=1e-5, rtol=1e-5)


def test_policy_old_policy_and_reference_are_read_at_the_models_tokens_alone(make_talking, tiny_llama):
    trainer = make_talking(GRPO(beta=0.1), Policy)
    with torch.no_grad():
        old = told_by(trainer.module.eval(), [5, 6])
        for parameter in trainer.module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        now, reference = told_by(trainer.module, [5, 6]), told_by(tiny_llama(seed=9), [5, 6])
        outputs = trainer.make_outputs(trainer.module, trainer.batch)
        assert outputs.mask.sum(1).tolist() == [sum(own) for _, own in ANSWERS]
        assert_rows(outputs.logps, outputs.mask, now)
        assert_rows(outputs.old_logps, outputs.mask, old)
        assert_rows(outputs.reference_logps, outputs.mask, reference)


def test_the_gradient_does_not_reach_through_what_others_wrote(make_talking):
    trainer = make_talking(GRPO(beta=0.0), Policy)
    outputs = trainer.make_outputs(trainer.module, trainer.batch)
    loss = trainer.parts.loss(outputs).losses.mean()
    (mine,) = torch.autograd.grad(loss, [trainer.module.get_output_embeddings().weight], retain_graph=True)
    rewards = torch.arange(4.0)
    advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
    told = told_by(trainer.module, [5, 6])
    written = torch.stack([-(t - t.detach()).exp().mean() * a for t, a in zip(told, advantages, strict=True)]).mean()
    (expected,) = torch.autograd.grad(written, [trainer.module.get_output_embeddings().weight])
    torch.testing.assert_close(mine, expected, atol=1e-6, rtol=1e-4)


def test_pairs_are_of_the_models_tokens_alone(make_talking):
    trainer = make_talking(DPO(), OnlinePreference)
    with torch.no_grad():
        told = told_by(trainer.module, [5, 6])
        outputs = trainer.make_outputs(trainer.module, trainer.batch)
        torch.testing.assert_close(outputs.chosen_logps, told[3].sum()[None], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(outputs.rejected_logps, told[0].sum()[None], atol=1e-5, rtol=1e-5)


def test_tokens_and_turns_of_the_model_are_counted(make_talking):
    means = make_talking(GRPO(beta=0.0), Policy)._since_log.means(lambda value: value)
    assert means["completion_length"] == pytest.approx((3 + 4 + 6 + 4) / 4)
    assert means["turns"] == 2.0
