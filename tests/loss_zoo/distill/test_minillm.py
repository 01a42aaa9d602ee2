import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_distill
from swift_loss_zoo.distill.minillm import MiniLLM

VOCABULARY = 3


def outputs(seed, lengths, dtype=torch.float64, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    count = sum(lengths)
    noise = spread * torch.randn(2, count, VOCABULARY, generator=generator, dtype=dtype)
    leaf = noise[0].clone().requires_grad_()
    rows = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths, dtype=torch.long))
    labels = torch.randint(VOCABULARY, (count,), generator=generator)
    values = {"student_token_logits": leaf, "teacher_token_logits": noise[1], "labels": labels, "rows": rows}
    return leaf, given_distill(**values, weights=torch.ones(count))


@pytest.mark.parametrize("mean", [True, False])
@given(seed=st.integers(0, 2**31), lengths=st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any))
def test_matches_the_formula(mean, seed, lengths):
    leaf, given = outputs(seed, lengths)
    q, p = leaf.detach().softmax(-1).tolist(), given.teacher_token_logits.softmax(-1).tolist()
    labels, expected, start = given.labels.tolist(), [], 0
    for length in lengths:
        places = range(start, start + length)
        gains = [math.log(p[i][labels[i]] / q[i][labels[i]]) for i in places]
        for t, place in enumerate(places):
            later = gains[t + 1 :]
            reward = sum(later) / (max(len(later), 1) if mean else 1)
            single = sum(a * math.log(a / b) for a, b in zip(q[place], p[place], strict=True))
            expected.append(single - reward * math.log(q[place][labels[place]]))
        start += length
    assert MiniLLM(length_normalise=mean)(given).losses.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_without_normalisation_its_expected_gradient_is_that_of_the_divergence_of_whole_answers():
    """Enumerate every answer of two tokens: the gradients, weighted by probability, add up to that of KL(Q || P)."""
    generator = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, 1, VOCABULARY, generator=generator, dtype=torch.float64)
    after, teacher_after = torch.randn(2, VOCABULARY, VOCABULARY, generator=generator, dtype=torch.float64)
    student = [first.clone().requires_grad_(), after.clone().requires_grad_()]

    def answers():
        for a, b in itertools.product(range(VOCABULARY), repeat=2):
            yield a, b, torch.cat([student[0], student[1][[a]]]), torch.cat([second, teacher_after[[a]]])

    exact, sampled = 0.0, 0.0
    for a, b, ours, theirs in answers():
        labels = torch.tensor([[a], [b]])
        log_q, log_p = (x.log_softmax(-1).gather(-1, labels).sum() for x in (ours, theirs))
        exact = exact + log_q.exp() * (log_q - log_p)
        given = given_distill(
            student_token_logits=ours, teacher_token_logits=theirs, labels=labels[:, 0],
            rows=torch.zeros(2, dtype=torch.long), weights=torch.ones(2),
        )  # fmt: skip
        sampled = sampled + log_q.exp().detach() * MiniLLM(length_normalise=False)(given).losses.sum()
    for ours, theirs in zip(
        *(torch.autograd.grad(value, student, retain_graph=True) for value in (sampled, exact)), strict=True
    ):
        assert torch.allclose(ours, theirs)


def test_the_last_token_has_the_reverse_divergence_alone():
    _, given = outputs(0, [1, 3])
    output = MiniLLM()(given)
    assert output.losses[[0, 3]].tolist() == pytest.approx(output.metrics["reverse_kl"][[0, 3]].tolist())


@pytest.mark.parametrize("spread", [1.0, 1000.0])
def test_is_finite_at_extremes(spread):
    leaf, given = outputs(2, [3, 0, 1], torch.float32, spread)
    losses = MiniLLM()(given).losses
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(leaf.grad).all()


def test_rejects_a_temperature_that_is_not_positive():
    with pytest.raises(ValueError, match=r"^temperature must be > 0, got 0\.0$"):
        MiniLLM(temperature=0.0)
