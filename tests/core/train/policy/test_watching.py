"""What is told of rollouts: how sure the model is, in logged steps, and of answers."""

import json
from types import SimpleNamespace

import pytest
import torch

from swift_core.artifacts.completions import completion_table, forget_after, read_completions
from swift_core.contracts.handover import RewardPart
from swift_core.train.policy.online_pairs import OnlinePreference
from swift_core.train.policy.record import ForgetLater
from swift_loss_zoo.pair.dpo import DPO
from swift_loss_zoo.policy.grpo import GRPO


def length(infer_requests, ground_truths, **_):
    return [float(len(request.response)) for request in infer_requests]


def distributions(trainer):
    """Return [token, vocabulary] log-probabilities at the answers to the first two prompts, and the tokens drawn."""
    rows, drawn = [], []
    for row in trainer.parts.train_dataset[:2]:
        for k in range(4):
            answer = [*range(10, 11 + k), 2]
            logits = trainer.module(torch.tensor([[*row["prompt_ids"], *answer]])).logits
            rows.append(logits.log_softmax(-1)[0, 1:-1])
            drawn += answer
    return torch.cat(rows), torch.tensor(drawn)


def test_entropy_and_likeliest_tokens_are_those_of_the_distributions_and_only_in_logged_steps(make_trainer):
    trainer = make_trainer(GRPO(beta=0.0), max_steps=4, logging_steps=2)
    with torch.no_grad():
        logps, drawn = distributions(trainer)
    asked = []
    read = trainer.head.run
    trainer.head.run = lambda model, inputs, work: asked.append(trainer.state.global_step) or read(model, inputs, work)
    batch = trainer.prepare_step([{"prompts": trainer.parts.train_dataset[:2]}])[0]
    trainer.state.logging_steps = 2
    trainer.make_outputs(trainer.module, batch)
    means = trainer._since_log.means(lambda value: value)
    assert means["entropy"] == pytest.approx(-(logps.exp() * logps).sum(1).mean().item(), rel=1e-5)
    assert means["top1"] == pytest.approx((logps.argmax(1) == drawn).float().mean().item())
    trainer._since_log.clear()
    trainer.state.global_step = 2  # the third step is not logged
    trainer.make_outputs(trainer.module, batch)
    assert "entropy" not in trainer._since_log.means(lambda value: value)


def test_pairs_tell_how_far_the_policy_is_from_the_reference(make_trainer, tiny_llama):
    rewards = [RewardPart("length", 1.0, length)]
    trainer = make_trainer(DPO(), tiny_llama(seed=9), rewards=rewards, procedure=OnlinePreference)
    trainer.train()
    (line,) = [line for line in trainer.state.log_history if "kl" in line]
    expected = []
    model, reference = tiny_llama(), tiny_llama(seed=9)
    with torch.no_grad():
        for prompt in ([5, 6], [6, 6]):
            for answer in ([10, 11, 12, 13, 2], [10, 2]):
                ids = torch.tensor([[*prompt, *answer]])
                own, held = (
                    m(ids).logits.log_softmax(-1)[0, 1:-1].gather(1, torch.tensor(answer)[:, None]).sum()
                    for m in (model, reference)
                )
                expected.append(own - held)
    assert line["kl"] == pytest.approx(torch.stack(expected).mean().item(), rel=1e-4)
    assert {"entropy", "top1", "pair_margin", "finished_length"} <= set(line)


def test_the_table_has_every_answer_of_a_logged_step_with_what_came_of_it(make_trainer):
    rewards = [RewardPart("length", 1.0, length), RewardPart("watched", 0.0, length)]
    trainer = make_trainer(GRPO(beta=0.0), rewards=rewards, rollout={"log_completions": 1}, max_steps=2)
    trainer.parts.directory.mkdir(parents=True, exist_ok=True)
    trainer.train()
    lines = read_completions(trainer.parts.directory)
    assert [(line["step"], line["row"]) for line in lines] == [(1, 0)] * 4 + [(2, 2)] * 4
    assert [line["rewards"] for line in lines[:2]] == [{"length": n, "watched": n} for n in (1.0, 2.0)]
    assert lines[0]["advantage"] < 0 < lines[3]["advantage"]
    table = completion_table(trainer.parts.directory)
    assert table["rewards"] == ["length", "watched"]
    assert [row["step"] for row in table["rows"]] == [1] * 4 + [2] * 4
    assert [row["cut"] for row in table["rows"][:4]] == [False, False, False, True]


def test_pairs_are_marked_in_the_table(make_trainer, tiny_llama):
    rewards = [RewardPart("length", 1.0, length)]
    trainer = make_trainer(DPO(), tiny_llama(seed=9), {"log_completions": 1}, rewards, OnlinePreference)
    trainer.parts.directory.mkdir(parents=True, exist_ok=True)
    trainer.train()
    assert [line.get("pair") for line in read_completions(trainer.parts.directory)] == [
        "rejected",
        None,
        None,
        "chosen",
    ]


def test_answers_of_steps_that_are_taken_again_are_forgotten(tmp_path):
    text = "".join(json.dumps({"step": step, "text": "\ud800"}) + "\n" for step in (1, 2, 2, 3))
    (tmp_path / "completions.jsonl").write_text(text + '{"step": 3, "te')
    state = SimpleNamespace(is_world_process_zero=True, global_step=2)
    ForgetLater(tmp_path).on_train_begin(None, state, None)
    assert [line["step"] for line in read_completions(tmp_path)] == [1, 2, 2]
    forget_after(tmp_path / "nowhere", 0)
