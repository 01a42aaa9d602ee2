import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_distill
from swift_loss_zoo.distill.gkd import GKD

VOCABULARY = 4
logits = st.lists(st.floats(-12, 12), min_size=VOCABULARY, max_size=VOCABULARY)
tokens = st.lists(st.tuples(logits, logits), min_size=1, max_size=5)


def softmax(values, temperature):
    exponentials = [math.exp(value / temperature) for value in values]
    return [value / sum(exponentials) for value in exponentials]


def kl(first, second):
    return sum(p * math.log(p / q) for p, q in zip(first, second, strict=True))


def formula(student, teacher, beta, temperature):
    """Return the paper's divergence of one token, in plain Python."""
    p, q = softmax(teacher, temperature), softmax(student, temperature)
    if beta in (0, 1):
        return kl(q, p) if beta else kl(p, q)
    mixture = [beta * a + (1 - beta) * b for a, b in zip(p, q, strict=True)]
    return beta * kl(p, mixture) + (1 - beta) * kl(q, mixture)


def outputs(student, teacher, dtype=torch.float64, tile=2):
    leaf = torch.tensor(student, dtype=dtype, requires_grad=True)
    count = len(student)
    return leaf, given_distill(
        tile,
        student_token_logits=leaf,
        teacher_token_logits=torch.tensor(teacher, dtype=dtype),
        labels=torch.zeros(count, dtype=torch.long),
        weights=torch.ones(count),
    )


@given(
    rows=tokens,
    beta=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.001, 0.999)),
    temperature=st.floats(0.5, 4),
)
def test_matches_the_formula(rows, beta, temperature):
    student, teacher = [list(side) for side in zip(*rows, strict=True)]
    _, given = outputs(student, teacher)
    expected = [formula(s, t, beta, temperature) for s, t in rows]
    losses = GKD(beta=beta, temperature=temperature)(given).losses
    assert losses.tolist() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_a_student_that_is_its_teacher_has_no_loss_and_no_gradient(beta):
    leaf, given = outputs([[1.0, 2.0, 0.0, -1.0]], [[1.0, 2.0, 0.0, -1.0]])
    losses = GKD(beta=beta)(given).losses
    losses.sum().backward()
    assert losses.tolist() == pytest.approx([0.0], abs=1e-12)
    assert leaf.grad.abs().max().item() == pytest.approx(0.0, abs=1e-12)


def test_near_its_ends_it_is_the_ends_scaled():
    rows = [[[0.0, 1.0, -1.0, 0.5]], [[2.0, 0.0, 0.0, -1.0]]]
    forward, reverse = (GKD(beta=beta)(outputs(*rows)[1]).losses.item() for beta in (0.0, 1.0))
    assert GKD(beta=1e-6)(outputs(*rows)[1]).losses.item() / 1e-6 == pytest.approx(forward, rel=1e-4)
    assert GKD(beta=1 - 1e-6)(outputs(*rows)[1]).losses.item() / 1e-6 == pytest.approx(reverse, rel=1e-4)


def test_the_forward_gradient_is_the_difference_of_the_probabilities():
    student, teacher = [[0.0, 1.0, -1.0, 0.5]], [[2.0, 0.0, 0.0, -1.0]]
    leaf, given = outputs(student, teacher)
    GKD(beta=0.0)(given).losses.sum().backward()
    expected = torch.tensor(student, dtype=torch.float64).softmax(-1) - torch.tensor(teacher).double().softmax(-1)
    assert torch.allclose(leaf.grad, expected)


@pytest.mark.parametrize("tile", [1, 2, 3, 100])
def test_tiles_change_nothing(tile):
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 7, VOCABULARY, generator=generator, dtype=torch.float64).tolist()
    whole, cut = outputs(student, teacher, tile=7), outputs(student, teacher, tile=tile)
    values = [GKD()(given).losses for _, given in (whole, cut)]
    assert torch.equal(*values)
    for value in values:
        value.sum().backward()
    assert torch.allclose(whole[0].grad, cut[0].grad)


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.9, 1.0])
@pytest.mark.parametrize("size", [1000.0, 3e4])
def test_is_finite_at_extremes(beta, size):
    leaf, given = outputs(
        [[size, 0.0, 0.0, 0.0], [-size, 0, 0, 0]], [[0.0, size, 0.0, 0.0], [size, 0, 0, 0]], torch.float32
    )
    losses = GKD(beta=beta)(given).losses
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(leaf.grad).all()


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_tokens_that_both_exclude_change_nothing(beta):
    wide = outputs([[1.0, 0.0, -math.inf, 0.5]], [[0.0, 2.0, -math.inf, 0.0]])
    narrow = outputs([[1.0, 0.0, 0.5]], [[0.0, 2.0, 0.0]])
    for leaf, tokens_given in (wide, narrow):
        GKD(beta=beta)(tokens_given).losses.sum().backward()
        assert torch.isfinite(leaf.grad).all()
    assert torch.allclose(wide[0].grad[:, [0, 1, 3]], narrow[0].grad)


def test_the_loss_scale_weighs_the_mean():
    _, given = outputs([[0.0] * 4], [[1.0, 0, 0, 0]])
    assert GKD()(given).weights is given.weights


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 1.5}, r"beta must be in \[0, 1\], got 1\.5"),
        ({"beta": -0.1}, r"beta must be in \[0, 1\], got -0\.1"),
        ({"temperature": 0.0}, r"temperature must be > 0, got 0\.0"),
    ],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        GKD(**options)
