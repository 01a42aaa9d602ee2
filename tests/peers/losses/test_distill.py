"""Distillation against TRL 1.16's GKD, SDPO and distillation kernels, and Liger's: values and gradients."""

import pytest
import torch

from swift_core.testing.outputs import given_distill
from swift_loss_zoo.distill.gkd import GKD
from swift_loss_zoo.distill.topk_distill import TopKDistill

VOCABULARY, HIDDEN = 31, 8


@pytest.fixture(params=range(5))
def models(request):
    """Hidden states and heads of a student and a teacher, and the student's logits as a leaf."""
    generator = torch.Generator().manual_seed(request.param)
    count = 3 + 4 * request.param
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    return {
        "hidden": draw(count, HIDDEN),
        "head": draw(VOCABULARY, HIDDEN),
        "teacher_hidden": draw(count, HIDDEN),
        "teacher_head": draw(VOCABULARY, HIDDEN),
    }


def logits_of(models):
    student = (models["hidden"] @ models["head"].T).requires_grad_()
    return student, models["teacher_hidden"] @ models["teacher_head"].T


def ours(loss, student, teacher, **values):
    count = len(student)
    given = given_distill(
        student_token_logits=student,
        teacher_token_logits=teacher,
        labels=torch.zeros(count, dtype=torch.long),
        weights=torch.ones(count),
        **values,
    )
    return loss(given).losses.mean()


@pytest.mark.parametrize("temperature", [0.9, 1.0, 3.0])
@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_gkd(models, same, beta, temperature):
    from trl.experimental.gkd.gkd_trainer import GKDTrainer

    student, teacher = logits_of(models)
    labels = torch.zeros(1, len(student), dtype=torch.long)
    theirs = GKDTrainer.generalized_jsd_loss(
        student[None], teacher[None], labels=labels, beta=beta, temperature=temperature
    )
    same(ours(GKD(beta=beta, temperature=temperature), student, teacher), theirs, [student])


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_gkd_against_the_tiled_kernel_of_the_distillation_trainer(models, same, beta):
    from trl.trainer.distillation_trainer import _chunked_divergence_loss

    head = models["head"].float().requires_grad_()
    hidden, teacher_hidden, teacher_head = (models[x].float() for x in ("hidden", "teacher_hidden", "teacher_head"))
    mask = torch.ones(1, len(hidden))
    theirs, _, _ = _chunked_divergence_loss(
        hidden[None], teacher_hidden[None], head, teacher_head, mask, beta, temperature=0.9
    )
    mine = ours(GKD(beta=beta, temperature=0.9), hidden @ head.T, teacher_hidden @ teacher_head.T)
    same(mine, theirs, [head], 2e-5)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rest", ["renormalise", "bucket"])
@pytest.mark.parametrize("k", [1, 5, 20])
def test_topk(models, same, k, rest, beta):
    """TRL's takes the student's top k; its own divergence and bucket are given the teacher's here."""
    from trl.experimental.sdpo.loss_utils import add_tail_bucket, compute_divergence

    student, teacher = logits_of(models)
    top = teacher.log_softmax(-1).topk(k)
    named = student.log_softmax(-1).gather(-1, top.indices)
    reduce = add_tail_bucket if rest == "bucket" else (lambda logps: logps - logps.logsumexp(-1, keepdim=True))
    theirs = compute_divergence(reduce(named), reduce(top.values), beta).mean()
    values = {"teacher_topk_logps": top.values, "teacher_topk_ids": top.indices}
    same(ours(TopKDistill(beta=beta, rest=rest), student, teacher, **values), theirs, [student], 1e-7)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_gkd_against_liger(models, same, beta):
    from liger_kernel.chunked_loss.jsd_loss import LigerFusedLinearJSDFunction

    student, teacher = (x.detach().float() for x in logits_of(models))
    student.requires_grad_()
    losses = LigerFusedLinearJSDFunction.distillation_loss_fn(student, teacher, beta=beta)
    theirs = losses[0] if isinstance(losses, tuple) else losses
    same(ours(GKD(beta=beta), student, teacher), theirs / len(student) if theirs.ndim == 0 else theirs.mean(),
         [student], 2e-5)  # fmt: skip
