"""The stage that samples: fixed answers and rewards in, the gradient of the written-out loss out."""

from types import SimpleNamespace

import pytest
import torch

from swift_core.contracts.engine import Rollout
from swift_core.contracts.handover import RewardPart
from swift_core.errors import SwiftError
from swift_core.plugins.options import build
from swift_core.plugins.registry import installed
from swift_core.train.policy.advantages import ESTIMATORS
from swift_loss_zoo.policy.grpo import GRPO

POLICY_LOSSES = [
    spec
    for spec in installed().specs("loss")
    if spec.first_party and ".policy." in spec.target and spec.name not in ("ppo",)
]


def prompts(count):
    return [
        {"prompt_ids": [5 + i, 6], "prompt": f"q{i}", "ground_truth": "9", "columns": {"level": i}, "row": i}
        for i in range(count)
    ]


def length(infer_requests, ground_truths, **columns):
    return [float(len(request.response)) for request in infer_requests]


def test_the_gradient_is_that_of_grpo_written_out(make_trainer, tiny_llama):
    reference = tiny_llama(seed=9)
    trainer = make_trainer(GRPO(beta=0.1), reference=reference)
    before = {name: p.detach().clone() for name, p in trainer.module.named_parameters()}
    trainer.train()

    model = tiny_llama()
    model.load_state_dict(before, strict=False)
    rewards = torch.tensor([1.0, 2.0, 3.0, 4.0])
    advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
    losses = []
    for row in prompts(2):
        for k in range(4):
            answer = [*range(10, 11 + k), 2]
            ids = torch.tensor([row["prompt_ids"] + answer])
            logps = model(ids).logits.log_softmax(-1)[0, 1:-1].gather(1, torch.tensor(answer)[:, None])[:, 0]
            with torch.no_grad():
                kept = reference(ids).logits.log_softmax(-1)[0, 1:-1].gather(1, torch.tensor(answer)[:, None])[:, 0]
            ratio = (logps - logps.detach()).exp()
            divergence = (kept - logps).exp() - (kept - logps) - 1
            losses.append((-ratio * advantages[k] + 0.1 * divergence).mean())
    torch.stack(losses).mean().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for name, parameter in model.named_parameters():
        expected = before[name] - 0.1 * parameter.grad
        torch.testing.assert_close(dict(trainer.module.named_parameters())[name], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("spec", POLICY_LOSSES, ids=lambda spec: spec.name)
def test_every_policy_loss_takes_steps_on_the_same_answers(make_trainer, tiny_llama, spec):
    loss = build(installed().load(spec), {})
    rewards = [RewardPart("length", 0.1, length)]  # bnpo wants them in [0, 1]
    trainer = make_trainer(loss, tiny_llama(seed=9), {"num_iterations": 2}, rewards, max_steps=3)
    before = {name: p.detach().clone() for name, p in trainer.module.named_parameters()}
    trainer.train()
    assert any(not torch.equal(p, before[name]) for name, p in trainer.module.named_parameters())
    assert all(torch.isfinite(p).all() for p in trainer.module.parameters())
    assert len(trainer.parts.engine.asked) == 2  # steps 1 and 2 share their answers


def test_cut_answers_are_left_out_when_asked(make_trainer):
    trainer = make_trainer(GRPO(beta=0.0), rollout={"mask_truncated": True})
    (batch,) = trainer.prepare_step([{"prompts": prompts(2)}])
    trained = (batch["labels"] != -100).sum(1).tolist()
    assert trained == [2, 3, 4, 0] * 2


@pytest.mark.parametrize("name", ["grpo", "dapo", "gspo", "dr_grpo"])
def test_a_step_whose_answers_were_all_cut_changes_nothing_and_the_run_goes_on(make_trainer, name):
    class Endless:
        """Answers that never end."""

        def generate(self, asked, params, /):
            return [[Rollout(list(ids), [10, 11 + k], False) for k in range(params.num_answers)] for ids in asked]

        def update_weights(self, weights, version, /):
            pass

    (spec,) = [spec for spec in POLICY_LOSSES if spec.name == name]
    loss = build(installed().load(spec), {"beta": 0.0} if name in ("grpo", "dapo", "dr_grpo") else {})
    trainer = make_trainer(loss, rollout={"mask_truncated": True}, engine=Endless(), max_steps=2)
    before = {key: p.detach().clone() for key, p in trainer.module.named_parameters()}
    trainer.train()
    assert trainer.state.global_step == 2
    assert all(torch.equal(p, before[key]) for key, p in trainer.module.named_parameters())
    lines = [line for line in trainer.state.log_history if "truncated" in line]
    assert [(line["truncated"], line["loss"]) for line in lines] == [(1.0, 0.0)] * 2


def test_without_a_comparison_the_rewards_themselves_are_the_advantages(make_trainer):
    trainer = make_trainer(GRPO(beta=0.0), rollout={"advantages": "none"})
    (batch,) = trainer.prepare_step([{"prompts": prompts(2)}])
    assert batch["advantages"].tolist() == [1.0, 2.0, 3.0, 4.0] * 2


def test_only_prompts_whose_answers_are_tied_are_drawn_again_and_the_last_draw_stands(make_trainer):
    calls = []

    def second_time(infer_requests, ground_truths, level, **_):
        calls.append(list(level))
        flat = len(calls) == 1
        return [
            1.0 if flat and row == 0 else float(len(r.response)) for r, row in zip(infer_requests, level, strict=True)
        ]

    trainer = make_trainer(
        GRPO(beta=0.0), rewards=[RewardPart("r", 1.0, second_time)], rollout={"max_resample_times": 3}
    )
    (batch,) = trainer.prepare_step([{"prompts": prompts(2)}])
    assert [asked for asked, _ in trainer.parts.engine.asked] == [[[5, 6], [6, 6]], [[5, 6]]]
    assert calls == [[0] * 4 + [1] * 4, [0] * 4]
    assert batch["advantages"][:4].tolist() == batch["advantages"][4:].tolist()
    assert batch["advantages"][0] < 0
    assert trainer._since_log.means(lambda value: value)["flat_groups"] == 0.0


def test_answers_that_no_reward_judged_have_no_advantage(make_trainer):
    def some(infer_requests, ground_truths, **_):
        return [None if index % 2 else float(index) for index in range(len(infer_requests))]

    trainer = make_trainer(GRPO(beta=0.0), rewards=[RewardPart("some", 2.0, some)])
    (batch,) = trainer.prepare_step([{"prompts": prompts(1)}])
    scale = 4.0 / (torch.tensor([0.0, 4.0]).std() + 1e-4) / 2
    torch.testing.assert_close(batch["advantages"], torch.tensor([-scale, 0.0, scale, 0.0]))


def test_flat_groups_are_drawn_again_with_another_seed(make_trainer):
    def flat(infer_requests, ground_truths, **_):
        return [1.0] * len(infer_requests)

    trainer = make_trainer(GRPO(beta=0.0), rewards=[RewardPart("flat", 1.0, flat)], rollout={"max_resample_times": 2})
    trainer.prepare_step([{"prompts": prompts(2)}])
    asked = trainer.parts.engine.asked
    assert len(asked) == 3
    assert len({params.seed for _, params in asked}) == 3


def test_rewards_are_weighted_and_logged_by_name(make_trainer):
    rewards = [RewardPart("length", 0.5, length), RewardPart("watched", 0.0, length)]
    trainer = make_trainer(GRPO(beta=0.0), rewards=rewards)
    trainer.prepare_step([{"prompts": prompts(1)}])
    means = trainer._since_log.means(lambda value: value)
    assert means["reward"] == pytest.approx(0.5 * 2.5)
    assert means["reward/watched"] == pytest.approx(2.5)
    assert means["completion_length"] == pytest.approx(3.5)
    assert means["truncated"] == pytest.approx(0.25)


def test_rewards_out_of_range_are_told(make_trainer):
    trainer = make_trainer(build(installed().load(POLICY_LOSSES[-1]), {}), rollout={})
    trainer._estimator = ESTIMATORS["beta"]
    with pytest.raises(SwiftError, match=r"must lie in \[0, 1\] for beta advantages, got 1 to 4"):
        trainer.prepare_step([{"prompts": prompts(1)}])


def test_an_engine_of_its_own_weights_is_told_when_they_change(make_trainer):
    trainer = make_trainer(GRPO(beta=0.0), max_steps=2)
    trainer.train()
    assert trainer.parts.engine.versions == [0, 1]


def test_the_seed_of_what_is_drawn_differs_by_step_and_process():
    from swift_core.assemble.turns import hash_seed

    seeds = {hash_seed(42, step, rank, 0) for step in range(50) for rank in range(4)}
    assert len(seeds) == 200
    assert SimpleNamespace(seed=hash_seed(42, 0, 0, 0)).seed < 2**63
