"""The gradient of every loss, by finite differences; losses that hold a part constant say so and are left out."""

import json
from pathlib import Path

import pytest
import torch
from torch.autograd import gradcheck

from swift_core.plugins.building import build
from swift_core.plugins.options import read_source
from swift_core.plugins.registry import installed
from swift_core.testing.outputs import (
    given_classes,
    given_distill,
    given_pairs,
    given_policy,
    given_scores,
    given_steps,
    given_tokens,
    given_unpaired,
)

LENGTHS = {"chosen": torch.tensor([4, 2, 3]), "rejected": torch.tensor([3, 4, 1]), "gold": torch.tensor([1, 2, 4])}
SHAPE = (3, 4)
VARIANTS = json.loads(Path(__file__).with_name("variants.json").read_text(encoding="utf-8"))
"""Loss -> options that lead it other ways than its defaults."""


def losses_of(family):
    """Return the losses of a family whose gradient is that of their value, with their defaults and other options."""
    specs = [spec for spec in installed().specs("loss") if spec.first_party and read_source(spec).inputs[0] == family]
    found = []
    for spec in specs:
        for options in ({}, *VARIANTS.get(spec.name, ())):
            loss = build(installed().load(spec), options)
            if not getattr(loss, "stops_gradient", False):
                found.append(pytest.param(loss, id=f"{spec.name} {options}" if options else spec.name))
    return found


def numbers(seed):
    generator = torch.Generator().manual_seed(seed)
    return -torch.rand(SHAPE, generator=generator, dtype=torch.float64) - 0.05


@pytest.mark.parametrize("loss", losses_of("PairOutputs"))
def test_pairs(loss):
    def value(chosen, rejected):
        values = {}
        given = {
            "chosen": chosen,
            "rejected": rejected,
            "reference_chosen": numbers(2),
            "reference_rejected": numbers(3),
            "gold": chosen + rejected,
        }
        for name, logps in given.items():
            lengths = LENGTHS[name.removeprefix("reference_")]
            values[f"{name}_token_logps"] = kept = logps * (torch.arange(SHAPE[1]) < lengths[:, None])
            values[f"{name}_logps"] = kept.sum(-1)
        values |= {f"{name}_lengths": lengths for name, lengths in LENGTHS.items()}
        return loss(given_pairs(**values, margins=torch.tensor([0.0, 0.5, 2.0]))).losses

    assert gradcheck(value, (numbers(0).requires_grad_(), numbers(1).requires_grad_()))


@pytest.mark.parametrize("loss", losses_of("TokenOutputs"))
def test_tokens(loss):
    def value(logps):
        return loss(given_tokens(logps=logps.flatten(), weights=numbers(1).neg().flatten())).losses

    assert gradcheck(value, (numbers(0).requires_grad_(),))


@pytest.mark.parametrize("loss", losses_of("UnpairedOutputs"))
def test_labelled_completions(loss):
    def value(logps):
        kept = logps * (torch.arange(SHAPE[1]) < LENGTHS["chosen"][:, None])
        outputs = given_unpaired(
            logps=kept.sum(-1),
            token_logps=kept,
            lengths=LENGTHS["chosen"],
            desirable=torch.tensor([True, False, True]),
            reference_logps=numbers(2).sum(-1),
            kl_logps=numbers(3).sum(-1),
            reference_kl_logps=numbers(3).sum(-1) - 0.1,
        )
        return loss(outputs).losses

    assert gradcheck(value, (numbers(0).requires_grad_(),))


@pytest.mark.parametrize("loss", losses_of("PolicyOutputs"))
def test_sampled_answers(loss):
    def value(logps, values):
        outputs = given_policy(
            SHAPE[1],
            logps=logps,
            old_logps=numbers(0) + 1e-5 * numbers(1),
            reference_logps=numbers(2),
            advantages=torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)[:, None].expand(SHAPE),
            mask=torch.arange(SHAPE[1]) < LENGTHS["chosen"][:, None],
            values=values,
            old_values=numbers(4),
            returns=numbers(5),
        )
        return loss(outputs).losses

    assert gradcheck(value, (numbers(0).requires_grad_(), numbers(3).requires_grad_()))


@pytest.mark.parametrize("loss", losses_of("DistillOutputs"))
def test_a_student_and_a_teacher(loss):
    def value(logits):
        top = numbers(1).log_softmax(-1).topk(2)
        outputs = given_distill(
            student_token_logits=logits,
            teacher_token_logits=numbers(2),
            teacher_topk_logps=top.values,
            teacher_topk_ids=top.indices,
            labels=torch.tensor([0, 3, 1]),
            rows=torch.tensor([0, 0, 1]),
            weights=torch.ones(3),
        )
        return loss(outputs).losses

    assert gradcheck(value, (numbers(0).requires_grad_(),))


LABELS = {
    "one class": torch.tensor([0, 3, 1]),
    "several classes": torch.tensor([[1.0, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.float64),
    "numbers": torch.tensor([0.5, -2.0, 7.0], dtype=torch.float64),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("loss", losses_of("ClassOutputs"))
def test_classes(loss, kind):
    learns_numbers = getattr(loss, "learns_numbers", False)
    if learns_numbers is not (kind == "numbers"):
        pytest.skip("the loss takes no such labels")

    def value(logits):
        return loss(given_classes(logits=logits[:, :1] if learns_numbers else logits, labels=LABELS[kind])).losses

    assert gradcheck(value, (numbers(0).requires_grad_(),))


@pytest.mark.parametrize("loss", losses_of("ScoreOutputs"))
def test_scores(loss):
    def value(chosen, rejected):
        margins = torch.tensor([0.0, 0.5, 2.0])
        return loss(given_scores(chosen_scores=chosen, rejected_scores=rejected, margins=margins)).losses

    assert gradcheck(value, (numbers(0)[:, 0].clone().requires_grad_(), numbers(1)[:, 0].clone().requires_grad_()))


@pytest.mark.parametrize("loss", losses_of("StepOutputs"))
def test_steps(loss):
    def value(logits):
        labels = torch.tensor([1.0, 0.0, 0.3], dtype=torch.float64)
        return loss(given_steps(step_logits=logits[:, :2], labels=labels)).losses

    assert gradcheck(value, (numbers(0).requires_grad_(),))
