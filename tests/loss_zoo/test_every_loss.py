"""What holds for every loss of the zoo, on made-up batches of its family; a new family adds a line to FAMILIES."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from swift_core.plugins.building import build
from swift_core.plugins.options import read_source
from swift_core.plugins.registry import installed
from swift_core.testing.outputs import given_distill, given_pairs, given_policy, given_tokens

TIME, VOCABULARY = 6, 7
GARBAGE = 1e4


class Numbers:
    """Random log-probabilities of each row's tokens, [row, time], in one type; more of them do not change the first."""

    def __init__(self, num_rows, dtype, *, spread, padding=0):
        self.dtype, self.spread, self.width = dtype, spread, TIME + padding
        self.num_rows = num_rows

    def normal(self, seed, *shape):
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(self.num_rows, TIME, *shape, generator=generator, dtype=torch.float64)
        padding = torch.full((self.num_rows, self.width - TIME, *shape), GARBAGE, dtype=torch.float64)
        return torch.cat([drawn, padding], 1).to(self.dtype)

    def logps(self, seed):
        return -(self.spread * self.normal(seed)).abs() - 0.05

    def mask(self, lengths):
        return torch.arange(self.width) < torch.tensor(lengths)[:, None]


def pairs(numbers, lengths, order):
    """Rows are pairs; the three answers of a pair have the same length, and one token less, and one more."""
    values, leaves = {"margins": numbers.normal(9)[:, 0].abs()[order]}, []
    for place, name in enumerate(("chosen", "rejected", "gold")):
        counts = [min(max(length - place, 0), TIME) for length in lengths]
        mask = numbers.mask(counts)[order]
        leaf = numbers.logps(place)[order].requires_grad_()
        own, reference = (torch.where(mask, x, 0) for x in (leaf, numbers.logps(place + 4)[order]))
        leaves.append(leaf)
        values |= {
            f"{name}_token_logps": own,
            f"{name}_logps": own.sum(-1),
            f"{name}_lengths": torch.tensor(counts)[order],
            f"{name}_log_sum_p2": torch.where(mask, numbers.logps(place + 11)[order], 0),
            f"reference_{name}_token_logps": reference,
            f"reference_{name}_logps": reference.sum(-1),
        }
    return given_pairs(**values), leaves


def sampled(numbers, lengths, order):
    """Rows are answers; what lies past their end is garbage."""
    mask = numbers.mask(lengths)[order]
    noise = [numbers.normal(seed)[order] for seed in range(5)]
    old = numbers.logps(7)[order]
    logps, values = (0.8 * old + 0.1 * noise[0]).requires_grad_(), noise[1].clone().requires_grad_()
    advantages = torch.where(mask, noise[2][:, :1], GARBAGE)
    outputs = given_policy(
        TIME,
        logps=logps,
        old_logps=old,
        reference_logps=old + 0.2 * noise[3],
        advantages=advantages,
        mask=mask,
        values=values,
        old_values=noise[1] + 0.1 * noise[4],
        returns=noise[0],
    )
    return outputs, [logps, values]


def tokens(numbers, lengths, order):
    """Rows are single tokens."""
    leaf = numbers.logps(0)[:, 0][order].requires_grad_()
    return given_tokens(logps=leaf, weights=torch.ones(len(leaf), dtype=leaf.dtype)), [leaf]


def distilled(numbers, lengths, order):
    """Rows are single tokens."""
    student = (numbers.spread * numbers.normal(0, VOCABULARY)[:, 0])[order].requires_grad_()
    teacher = (numbers.spread * numbers.normal(1, VOCABULARY)[:, 0])[order]
    top = teacher.log_softmax(-1).topk(3)
    outputs = given_distill(
        student_token_logits=student,
        teacher_token_logits=teacher,
        teacher_topk_logps=top.values,
        teacher_topk_ids=top.indices,
        labels=torch.zeros(len(student), dtype=torch.long),
        rows=torch.arange(len(student)),
        weights=torch.ones(len(student)),
    )
    return outputs, [student]


FAMILIES = {"DistillOutputs": distilled, "PairOutputs": pairs, "PolicyOutputs": sampled, "TokenOutputs": tokens}
"""Family -> maker of its outputs and of the leaves whose gradient is looked at."""

LENGTHS = [3, 6, 2, 5]
VARIANTS = json.loads(Path(__file__).with_name("variants.json").read_text(encoding="utf-8"))
"""Loss -> options that lead it other ways than its defaults."""


def losses_by_family():
    for spec in installed().specs("loss"):
        family = read_source(spec).inputs[0] if spec.first_party else ""
        for options in ({}, *VARIANTS.get(spec.name, ())) if family in FAMILIES else ():
            loss = build(installed().load(spec), options)
            yield pytest.param(loss, FAMILIES[family], id=f"{spec.name} {options}" if options else spec.name)


every_loss = pytest.mark.parametrize(("loss", "make"), list(losses_by_family()))


def run(loss, make, *, dtype=torch.float64, lengths=LENGTHS, order=None, spread=1.0, padding=0):
    """Return the losses of a batch and the gradients of its leaves."""
    numbers = Numbers(len(lengths), dtype, spread=spread, padding=padding)
    outputs, leaves = make(numbers, lengths, list(range(len(lengths))) if order is None else order)
    losses = loss(outputs).losses
    gradients = torch.autograd.grad(losses.sum(), leaves, allow_unused=True)
    return losses.detach(), [g for g in gradients if g is not None]


@every_loss
def test_padding_changes_nothing_and_has_no_gradient(loss, make):
    plain, padded = run(loss, make), run(loss, make, padding=3)
    torch.testing.assert_close(padded[0], plain[0], rtol=1e-12, atol=1e-12)
    for wide, narrow in zip(padded[1], plain[1], strict=True):
        torch.testing.assert_close(wide[:, :TIME] if make in (pairs, sampled) else wide, narrow, rtol=1e-12, atol=1e-12)
        assert make not in (pairs, sampled) or (wide[:, TIME:] == 0).all()


@every_loss
def test_the_order_of_items_changes_nothing_but_their_order(loss, make):
    order = [2, 0, 3, 1]
    plain, turned = run(loss, make), run(loss, make, order=order)
    if getattr(loss, "couples_items", False):  # aot gives its losses in the order of the sorted margins
        torch.testing.assert_close(turned[0].sort().values, plain[0].sort().values, rtol=1e-12, atol=1e-12)
    else:
        torch.testing.assert_close(turned[0], plain[0][order], rtol=1e-12, atol=1e-12)
    for theirs, ours in zip(turned[1], plain[1], strict=True):
        torch.testing.assert_close(theirs, ours[order], rtol=1e-12, atol=1e-12)


@every_loss
def test_it_is_the_same_bit_for_bit_when_called_again(loss, make):
    first, second = run(loss, make, dtype=torch.float32), run(loss, make, dtype=torch.float32)
    assert torch.equal(first[0], second[0])
    assert all(torch.equal(*both) for both in zip(first[1], second[1], strict=True))


@every_loss
def test_bfloat16_is_near_float64(loss, make):
    """Log-probabilities come in float32; a plugin of somebody else's may bring others."""
    low, high = run(loss, make, dtype=torch.bfloat16), run(loss, make)
    assert low[0].dtype.is_floating_point
    torch.testing.assert_close(low[0].double(), high[0], rtol=0.1, atol=0.1)
    assert all(torch.isfinite(gradient).all() for gradient in low[1])


@every_loss
@pytest.mark.parametrize("spread", [0.0, 40.0, 1000.0])
@pytest.mark.parametrize("lengths", [[1, 1], [0, 3], [0, 0]], ids=["one token", "one empty", "all empty"])
def test_extremes_are_finite_in_float32(loss, make, spread, lengths):
    losses, gradients = run(loss, make, dtype=torch.float32, lengths=lengths, spread=spread)
    assert torch.isfinite(losses).all()
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize(("loss", "make"), [each for each in losses_by_family() if each.values[1] in (pairs, sampled)])
def test_items_without_tokens_have_no_gradient(loss, make):
    losses, gradients = run(loss, make, lengths=[0, 4])
    assert all((gradient[0] == 0).all() for gradient in gradients)
    assert make is pairs or losses[0].item() == 0.0


@every_loss
def test_a_batch_without_items_has_no_losses(loss, make):
    assert run(loss, make, lengths=[])[0].shape == (0,)
