"""Distillation: the losses of the zoo on a real student and teacher, against formulas over the whole logits."""

import pytest
import torch

from swift_core.assemble.kinds.tokens import TokenCollator
from swift_core.contracts.engine import Rollout
from swift_core.train import distill
from swift_core.train.distill import Distillation
from swift_loss_zoo.distill.gkd import GKD
from swift_loss_zoo.distill.topk_distill import TopKDistill

ROWS = [
    {"input_ids": [5, 6, 7, 8, 9], "labels": [-100, -100, 7, 8, 9], "row": 0},
    {"input_ids": [3, 4, 2], "labels": [-100, 4, 2], "row": 1},
]


class Scripted:
    """An engine whose answers are written here."""

    def __init__(self):
        self.asked = []

    def generate(self, prompts, params, /):
        self.asked.append([list(ids) for ids in prompts])
        return [[Rollout(prompt_ids=list(ids), answer_ids=[11, 12, 2], finished=True)] for ids in prompts]

    def update_weights(self, weights, version, /):
        pass


class Encoder:
    eos_token_id, pad_token_id = 2, 0
    special_tokens, opening_ids = frozenset(), ()

    def render(self, messages, **_):
        raise ValueError("no template")


@pytest.fixture
def make_trainer(make_parts, tiny_llama):
    def make(loss, lmbda=0.0, top_k=64, **train):
        parts = make_parts(loss, ROWS, TokenCollator(0), per_device_train_batch_size=2, **train)
        object.__setattr__(parts.plan.settings.rollout, "lmbda", lmbda)
        object.__setattr__(parts.plan.settings.model, "teacher_top_k", top_k)
        parts.teacher = tiny_llama(seed=4).requires_grad_(False).eval()
        parts.encoder, parts.engine = Encoder(), Scripted()
        return Distillation.build(parts)

    return make


def scored(model, batch):
    """[token, vocabulary] log-probabilities at the trained positions."""
    logps = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.log_softmax(-1)
    return logps[:, :-1][batch["labels"][:, 1:] != -100]


def reverse_kl(student, teacher):
    return (student.exp() * (student - teacher)).sum(-1)


def forward_kl(student, teacher):
    return (teacher.exp() * (teacher - student)).sum(-1)


@pytest.mark.parametrize("tile", [1, 2, 1000])
@pytest.mark.parametrize(("beta", "formula"), [(0.0, forward_kl), (1.0, reverse_kl)])
def test_loss_and_gradient_are_those_over_the_whole_logits(make_trainer, tiny_llama, monkeypatch, tile, beta, formula):
    monkeypatch.setattr(distill, "TILE_ELEMENTS", tile * 61)
    trainer = make_trainer(GKD(beta=beta))
    batch = TokenCollator(0)(ROWS)
    outputs = trainer.make_outputs(trainer.module, batch)
    result = trainer.parts.loss(outputs)
    result.losses.sum().backward()

    plain = tiny_llama()
    plain.load_state_dict(trainer.module.state_dict())
    expected = formula(scored(plain, batch), scored(trainer.parts.teacher, batch).detach())
    torch.testing.assert_close(result.losses, expected, atol=1e-6, rtol=1e-5)
    expected.sum().backward()
    for (name, mine), theirs in zip(trainer.module.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-6, rtol=1e-4, msg=name)
    assert all(parameter.grad is None for parameter in trainer.parts.teacher.parameters())


def test_the_teachers_likeliest_tokens_are_named(make_trainer):
    trainer = make_trainer(TopKDistill(), top_k=3)
    batch = TokenCollator(0)(ROWS)
    outputs = trainer.make_outputs(trainer.module, batch)
    values, ids = scored(trainer.parts.teacher, batch).topk(3, dim=-1)
    torch.testing.assert_close(outputs.teacher_topk_logps, values)
    assert torch.equal(outputs.teacher_topk_ids, ids)
    assert torch.isfinite(trainer.parts.loss(outputs).losses).all()


def test_own_answers_take_the_place_of_the_datas(make_trainer):
    trainer = make_trainer(GKD(), lmbda=1.0)
    (batch,) = trainer.prepare_step([TokenCollator(0)(ROWS)])
    assert trainer.parts.engine.asked == [[[5, 6], [3]]]
    assert batch["input_ids"].tolist() == [[5, 6, 11, 12, 2], [3, 11, 12, 2, 0]]
    assert batch["labels"].tolist() == [[-100, -100, 11, 12, 2], [-100, 11, 12, 2, -100]]


def test_which_steps_are_on_policy_depends_on_the_seed_alone(make_trainer):
    def shares():
        trainer = make_trainer(GKD(), lmbda=0.5)
        taken = []
        for step in range(40):
            trainer.state.global_step = step
            before = len(trainer.parts.engine.asked)
            trainer.prepare_step([TokenCollator(0)(ROWS)])
            taken.append(len(trainer.parts.engine.asked) - before)
        return taken

    first = shares()
    assert first == shares()
    assert 10 < sum(first) < 30


def test_a_run_of_steps_brings_the_student_to_its_teacher(make_trainer):
    trainer = make_trainer(GKD(beta=0.0), lmbda=0.0, max_steps=120)
    batch = TokenCollator(0)(ROWS)
    before = forward_kl(scored(trainer.module, batch), scored(trainer.parts.teacher, batch)).mean().item()
    trainer.train()
    after = forward_kl(scored(trainer.module, batch), scored(trainer.parts.teacher, batch)).mean().item()
    assert after < 0.5 * before
