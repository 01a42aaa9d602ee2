"""Ten steps in float64 beside the authors' schedule-free optimizers, with evaluations in between.

Two groups have other rates and decay, the rate changes from step to step, and after some steps the average goes into
the weights and comes out again, in both; it is compared too.
"""

from __future__ import annotations

import pytest
import torch
from tests.peers.optimizers.test_options_and_schedules import RATES, SHAPES, assert_same, parameters
from tests.peers.optimizers.test_ten_steps import OURS, ours, package

OURS |= {
    "schedule_free_radam": "schedule_free_radam:ScheduleFreeRAdam",
    "schedule_free_sgd": "schedule_free_sgd:ScheduleFreeSGD",
}
COMMON = ({}, {"r": 1.0}, {"weight_lr_power": 0.0}, {"weight_lr_power": 1.0, "r": 0.5})
WARM_UP = ({"warmup_steps": 4},)
ADAM = ({"betas": (0.8, 0.95)}, {"eps": 1e-3})
CASES = {
    "schedule_free": ("AdamWScheduleFree", 1e-2, COMMON + WARM_UP + ADAM),
    "schedule_free_radam": ("RAdamScheduleFree", 1e-2, (*COMMON, *ADAM, {"silent_sgd_phase": False})),
    "schedule_free_sgd": ("SGDScheduleFree", 0.1, (*COMMON, *WARM_UP, {"momentum": 0.5})),
}
EVALUATED = (0, 3, 4, 8)
"""Steps after which the average is looked at."""


def groups(params, lr):
    names = list(params)
    halves = (names[: len(names) // 2], 0.1, lr), (names[len(names) // 2 :], 0.0, lr / 3)
    return [{"params": [params[n] for n in half], "weight_decay": decay, "lr": own} for half, decay, own in halves]


def run(optimizer, params, rates):
    """Return the average after each evaluation, and the weights in training at the end."""
    generator = torch.Generator().manual_seed(1)
    full = [group["lr"] for group in optimizer.param_groups]
    averages = []
    for step in range(10):
        optimizer.train()
        for group, lr in zip(optimizer.param_groups, full, strict=True):
            group["lr"] = lr * rates[step] if rates else lr
        for param in params.values():
            param.grad = torch.randn(param.shape, generator=generator, dtype=param.dtype) * (1 + step % 3)
        optimizer.step()
        if step in EVALUATED:
            optimizer.eval()
            averages.append({name: param.detach().clone() for name, param in params.items()})
    return [*averages, {name: param.detach() for name, param in params.items()}]


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("rates", [None, RATES], ids=["constant", "schedule"])
@pytest.mark.parametrize(
    ("name", "options"), [(name, options) for name, (_, _, variants) in CASES.items() for options in variants], ids=str
)
def test_ten_steps_with_evaluations_are_those_of_the_authors(name, options, rates, foreach):
    cls, lr, _ = CASES[name]
    mine, theirs = parameters(SHAPES), parameters(SHAPES)
    reference = getattr(package("schedulefree"), cls)(groups(theirs, lr), **options, foreach=foreach)
    optimizer = type(ours(name, parameters(SHAPES)))(groups(mine, lr), **options)
    expected = run(reference, theirs, rates)
    for own, other in zip(run(optimizer, mine, rates), expected, strict=True):
        assert_same(own, other, 1e-12)
    assert not torch.equal(mine["norm.weight"], parameters(SHAPES)["norm.weight"])


def test_the_defaults_are_those_of_the_authors():
    for name, (cls, _, _) in CASES.items():
        theirs = getattr(package("schedulefree"), cls)(list(parameters(SHAPES).values())).defaults
        mine = ours(name, parameters(SHAPES)).defaults
        assert mine == {key: theirs[key] for key in mine}
