"""Stage `online_dpo`: fixed answers and rewards in, the gradient of the loss on their best and worst out."""

from pathlib import Path

import pytest
import torch

from swift_core.assemble.rewards import adapt_reward
from swift_core.builtins.engines.transformers import TransformersEngine
from swift_core.contracts.handover import RewardPart
from swift_core.plugins.options import build
from swift_core.plugins.registry import installed
from swift_core.train.policy.online_pairs import OnlinePreference
from swift_loss_zoo.pair.dpo import DPO

PAIR_LOSSES = ("dpo", "simpo", "aot", "odpo", "wpo")
"""One with a reference, one without, one that sorts its pairs, one that reads their margins, one that weighs tokens."""


def prompts(count):
    return [
        {"prompt_ids": [5 + i, 6], "prompt": f"q{i}", "ground_truth": "9", "columns": {"level": i}, "row": i}
        for i in range(count)
    ]


def length(infer_requests, ground_truths, **_):
    return [float(len(request.response)) for request in infer_requests]


def by_level(*scores):
    """A reward that gives the answers to prompt 0, 1, ... one of `scores` each: a function of length, or None."""

    def reward(infer_requests, ground_truths, level, **_):
        return [scores[i](len(r.response)) for r, i in zip(infer_requests, level, strict=True)]

    return [RewardPart("by_level", 1.0, reward)]


def logps(model, prompt, answer):
    ids = torch.tensor([[*prompt, *answer]])
    return model(ids).logits.log_softmax(-1)[0, len(prompt) - 1 : -1].gather(1, torch.tensor(answer)[:, None]).sum()


def dpo_written_out(model, reference, rows, chosen, rejected, beta):
    losses = []
    for row in rows:
        prompt = row["prompt_ids"]
        with torch.no_grad():
            held = logps(reference, prompt, chosen) - logps(reference, prompt, rejected)
        margin = logps(model, prompt, chosen) - logps(model, prompt, rejected) - held
        losses.append(-torch.nn.functional.logsigmoid(beta * margin))
    return torch.stack(losses).mean()


SHORTEST, LONGEST = [10, 2], [10, 11, 12, 13, 2]


@pytest.fixture
def make_online(make_trainer, tiny_llama):
    def make(loss=None, rollout=None, rewards=None, **options):
        options.setdefault("reference", tiny_llama(seed=9))
        rewards = rewards or [RewardPart("length", 1.0, length)]
        return make_trainer(loss or DPO(), rollout=rollout, rewards=rewards, procedure=OnlinePreference, **options)

    return make


def weights_of(trainer):
    return {name: p.detach().clone() for name, p in trainer.module.named_parameters()}


def assert_moved_by(trainer, before, loss_of, tiny_llama):
    """Assert that one step of SGD on `loss_of(model)` led from `before` to the weights of the trainer."""
    model = tiny_llama()
    model.load_state_dict(before, strict=False)
    loss_of(model).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    after = weights_of(trainer)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(after[name], before[name] - 0.1 * parameter.grad, atol=1e-6, rtol=1e-5)


def test_the_gradient_is_that_of_dpo_on_the_best_and_the_worst_answer(make_online, tiny_llama):
    trainer = make_online(DPO(beta=0.5))
    before = weights_of(trainer)
    trainer.train()
    reference = tiny_llama(seed=9)
    assert_moved_by(
        trainer,
        before,
        lambda model: dpo_written_out(model, reference, prompts(2), LONGEST, SHORTEST, 0.5),
        tiny_llama,
    )


def test_tied_and_unjudged_prompts_have_no_part_in_the_gradient_and_are_counted(make_online, tiny_llama):
    scores = (lambda n: 1.0, lambda n: None, float, lambda n: float(n) if n == 1 else None)
    trainer = make_online(DPO(beta=0.5), rewards=by_level(*scores), per_device_train_batch_size=4)
    before = weights_of(trainer)
    trainer.prepare_step([{"prompts": prompts(4)}])
    means = trainer._since_log.means(lambda value: value)
    assert (means["tied_pairs"], means["unjudged_pairs"], means["pair_margin"]) == (0.25, 0.5, 3.0)
    trainer.train()
    reference = tiny_llama(seed=9)
    rows = prompts(4)[2:3]
    assert_moved_by(
        trainer, before, lambda model: dpo_written_out(model, reference, rows, LONGEST, SHORTEST, 0.5), tiny_llama
    )


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_a_micro_batch_without_pairs_adds_nothing_to_the_gradient_of_a_pair_loss(make_online, name):
    loss = build(installed().load(installed().resolve("loss", name, Path())), {})
    options = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2}
    rewards = by_level(lambda n: 1.0, float, float, float)
    halves = make_online(loss, rewards=rewards, **options)
    alone = make_online(loss, rewards=by_level(None, float), per_device_train_batch_size=1)
    alone.parts.train_dataset.pop(0)  # the prompt whose answers are tied
    for trainer in (halves, alone):
        before = weights_of(trainer)
        trainer.train()
        assert any(not torch.equal(p, before[name]) for name, p in trainer.module.named_parameters())
    for mine, theirs in zip(halves.module.parameters(), alone.module.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-7, rtol=1e-6)


def test_a_step_without_any_pair_changes_nothing_and_the_run_goes_on(make_online):
    trainer = make_online(rewards=by_level(*[lambda n: 1.0] * 2, float, float), max_steps=2)
    before, logged = weights_of(trainer), []
    trainer.log = lambda logs, start_time=None: (logged.append(weights_of(trainer)), type(trainer).log(trainer, logs))
    trainer.train()
    first = logged[0]
    assert all(torch.equal(first[name], before[name]) for name in before)
    assert any(not torch.equal(p, before[name]) for name, p in trainer.module.named_parameters())
    lines = [line for line in trainer.state.log_history if "tied_pairs" in line]
    assert [line["tied_pairs"] for line in lines] == [1.0, 0.0]
    assert lines[0]["loss"] == 0.0 < lines[1]["loss"]


def test_an_answer_that_did_not_end_loses_the_penalty(make_online):
    trainer = make_online(rollout={"missing_eos_penalty": 3.5})
    (batch,) = trainer.prepare_step([{"prompts": prompts(1)}])
    longest_finished, cut = [10, 11, 12, 2], [10, 11, 12, 13, 2]
    chosen, rejected = (
        ids[labels != -100].tolist() for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True)
    )
    assert (chosen, rejected) == (longest_finished, cut)
    assert batch["margins"].tolist() == [3.0 - 0.5]


def test_cut_answers_make_no_pair_when_they_are_left_out(make_online):
    trainer = make_online(rollout={"mask_truncated": True})
    (batch,) = trainer.prepare_step([{"prompts": prompts(1)}])
    assert batch["input_ids"][0].tolist() == [5, 6, 10, 11, 12, 2]


def test_a_run_that_stopped_between_steps_on_the_same_pairs_goes_on_bit_for_bit(make_online):
    rewards = by_level(lambda n: 1.0, float, float, lambda n: None)  # a window with a micro-batch without pairs
    options = {"max_steps": 3, "save_strategy": "steps", "save_steps": 1, "save_total_limit": 9}
    options |= {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2}
    whole = make_online(rollout={"num_iterations": 2}, rewards=rewards, **options)
    whole.train()
    resumed = make_online(rollout={"num_iterations": 2}, rewards=rewards, **options)
    resumed.parts.resume_from = whole.parts.directory / "checkpoint-1"
    resumed.train(resume_from_checkpoint=str(resumed.parts.resume_from))
    for mine, theirs in zip(resumed.module.parameters(), whole.module.parameters(), strict=True):
        assert torch.equal(mine, theirs)


class Bits:
    """Writes a token as 1 when its number is below 31, else as 0."""

    eos_token_id, pad_token_id, special_tokens, opening_ids = 2, 0, frozenset(), ()

    def decode(self, ids):
        return "".join("1" if token < 31 else "0" for token in ids)

    def encode(self, text):
        return [1] * len(text)

    def render(self, messages, **_):
        raise ValueError("no template")


def share_of_ones(completions, **_):
    return [text.count("1") / max(1, len(text)) for text in completions]


def test_it_raises_the_reward_of_a_model_that_answers_itself(make_online):
    trainer = make_online(
        rewards=[RewardPart("ones", 1.0, adapt_reward("ones", share_of_ones))],
        engine=TransformersEngine(),
        optimizer=lambda model: torch.optim.AdamW(model.parameters(), lr=2e-2),
        rollout={"num_generations": 8},
        max_steps=18,
        per_device_train_batch_size=4,
    )
    trainer.parts.encoder = Bits()
    trainer.train()
    rewards = [line["reward"] for line in trainer.state.log_history if "reward" in line]
    assert rewards[0] < 0.65
    assert rewards[-1] > 0.85
