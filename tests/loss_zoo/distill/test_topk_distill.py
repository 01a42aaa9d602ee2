import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_distill
from swift_loss_zoo.distill.gkd import GKD
from swift_loss_zoo.distill.topk_distill import TopKDistill

VOCABULARY = 6
logits = st.lists(st.floats(-6, 6), min_size=VOCABULARY, max_size=VOCABULARY)


def softmax(values):
    exponentials = [math.exp(value) for value in values]
    return [value / sum(exponentials) for value in exponentials]


def divergence(p, q, beta):
    """Return D_beta(P, Q), in plain Python."""
    kl = lambda a, b: sum(x * math.log(x / y) for x, y in zip(a, b, strict=True))  # noqa: E731 - the formula on one line
    if beta in (0, 1):
        return kl(q, p) if beta else kl(p, q)
    mixture = [beta * a + (1 - beta) * b for a, b in zip(p, q, strict=True)]
    return beta * kl(p, mixture) + (1 - beta) * kl(q, mixture)


def outputs(student, teacher, k, dtype=torch.float64):
    leaf = torch.tensor([student], dtype=dtype, requires_grad=True)
    logits = torch.tensor([teacher], dtype=dtype)
    top = logits.log_softmax(-1).topk(k)
    return leaf, given_distill(
        student_token_logits=leaf,
        teacher_token_logits=logits,
        teacher_topk_logps=top.values,
        teacher_topk_ids=top.indices,
        labels=torch.zeros(1, dtype=torch.long),
        weights=torch.ones(1),
    )


@pytest.mark.parametrize("rest", ["renormalise", "bucket"])
@given(
    student=logits,
    teacher=logits,
    k=st.integers(1, VOCABULARY - 1),
    beta=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.01, 0.99)),
)
def test_matches_the_formula(rest, student, teacher, k, beta):
    _, given = outputs(student, teacher, k)
    p, q = softmax(teacher), softmax(student)
    named = given.teacher_topk_ids[0].tolist()
    p_named, q_named = [p[i] for i in named], [q[i] for i in named]
    if rest == "bucket":
        p_named, q_named = [*p_named, 1 - sum(p_named)], [*q_named, 1 - sum(q_named)]
    else:
        p_named, q_named = [x / sum(p_named) for x in p_named], [x / sum(q_named) for x in q_named]
    loss = TopKDistill(beta=beta, rest=rest)(given)
    assert loss.losses.item() == pytest.approx(divergence(p_named, q_named, beta), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("rest", ["renormalise", "bucket"])
def test_with_the_whole_vocabulary_it_is_gkd(rest):
    _, given = outputs([0.0, 1.0, -1.0, 0.5, 2.0, 0.0], [1.0, 0.0, 0.0, 2.0, -1.0, 0.5], VOCABULARY)
    expected = GKD(beta=0.3)(given).losses.item()
    assert TopKDistill(beta=0.3, rest=rest)(given).losses.item() == pytest.approx(expected)


def test_the_bucket_tells_the_student_that_other_tokens_are_unlikely():
    student, teacher = [5.0, 0.0, 5.0, 0.0, 0.0, 0.0], [5.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    leaf, given = outputs(student, teacher, 1)
    TopKDistill(rest="bucket")(given).losses.sum().backward()
    assert leaf.grad[0, 0].item() < -0.1 < 0.1 < leaf.grad[0, 2].item()
    leaf, given = outputs(student, teacher, 1)
    TopKDistill(rest="renormalise")(given).losses.sum().backward()
    assert leaf.grad.abs().max().item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("rest", ["renormalise", "bucket"])
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_places_that_the_teacher_left_empty_change_nothing(rest, beta):
    gradients = []
    for k in (2, 4):
        leaf, whole = outputs([0.0, 1.0, -1.0, 0.5, 2.0, 0.0], [1.0, 0.0, 0.0, 2.0, -1.0, 0.5], k)
        logps = torch.where(torch.arange(k) < 2, whole.teacher_topk_logps, -math.inf)
        given = given_distill(
            student_token_logits=leaf,
            teacher_topk_logps=logps,
            teacher_topk_ids=whole.teacher_topk_ids,
            weights=torch.ones(1),
        )
        losses = TopKDistill(beta=beta, rest=rest)(given).losses
        losses.sum().backward()
        gradients.append((losses.detach(), leaf.grad))
    assert torch.allclose(gradients[0][0], gradients[1][0])
    assert torch.allclose(gradients[0][1], gradients[1][1])


@pytest.mark.parametrize("rest", ["renormalise", "bucket"])
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("size", [1000.0, -1000.0])
def test_is_finite_at_extremes(rest, beta, size):
    leaf, given = outputs([size, 0.0, 0, 0, 0, 0], [0.0, 1000.0, 0, 0, 0, 0], 2, torch.float32)
    losses = TopKDistill(beta=beta, rest=rest)(given).losses
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(leaf.grad).all()


def test_the_share_of_the_named_tokens_is_logged():
    _, given = outputs([0.0] * 6, [0.0] * 6, 3)
    assert TopKDistill()(given).metrics["teacher_mass"].item() == pytest.approx(0.5)


def test_rejects_a_beta_outside_its_range():
    with pytest.raises(ValueError, match=r"^beta must be in \[0, 1\], got 2\.0$"):
        TopKDistill(beta=2.0)
