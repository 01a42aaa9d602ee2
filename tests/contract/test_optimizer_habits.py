"""Optimizers: what training code does with any of torch's, beside steps: skip, scale, schedule, copy, add, share."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from tests.contract.test_optimizers import FILLED, groups, make_model, set_gradients, weights
from torch.optim import lr_scheduler

from swift_core.plugins.options import prepared

KIND = "optimizer"

SCHEDULES = {
    "lambda": lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step)),
    "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 5),
    "one cycle": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=6, cycle_momentum=False),
    "sequence": lambda optimizer: lr_scheduler.SequentialLR(
        optimizer, [lr_scheduler.LinearLR(optimizer), lr_scheduler.ExponentialLR(optimizer, 0.9)], [2]
    ),
}


@pytest.fixture
def make(target, source):
    """Return a function that builds the optimizer of a model."""
    filled = {option.name: FILLED[option.name] for option in source.options if option.name in FILLED}
    return lambda model, **options: target(groups(model), **prepared(target, filled | options))


def step(optimizer, model, steps):
    for number in steps:
        set_gradients(model, number)
        optimizer.step()


def assert_equal(model, other):
    assert all(torch.equal(a, b) for a, b in zip(weights(model), weights(other), strict=True))


def test_a_gradient_that_comes_and_goes_moves_a_weight_only_when_it_is_there(spec, make):
    model = make_model()
    optimizer, weight = make(model), model[0].weight
    for number in range(6):
        set_gradients(model, number)
        if is_missing := number in (0, 1, 3):
            weight.grad = None
        before = weight.detach().clone()
        optimizer.step()
        assert not is_missing or torch.equal(before, weight)
        assert number > 1 or not optimizer.state.get(weight)
    assert torch.isfinite(weight).all()
    assert not torch.equal(weight, make_model()[0].weight)


@pytest.mark.parametrize("copied", ["deepcopy", "pickle"])
def test_a_copy_with_its_model_goes_on_equally_and_leaves_the_original_alone(spec, make, copied):
    model = make_model()
    optimizer = make(model)
    step(optimizer, model, range(3))
    both = (model, optimizer)
    other_model, other = copy.deepcopy(both) if copied == "deepcopy" else pickle.loads(pickle.dumps(both))
    before = weights(model)
    step(other, other_model, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(before, weights(model), strict=True))
    step(optimizer, model, range(3, 6))
    assert_equal(model, other_model)


def test_another_optimizer_beside_it_changes_nothing(spec, make):
    alone, model, beside = make_model(), make_model(), make_model()
    step(make(alone), alone, range(4))
    first, second = make(model), make(beside)
    for number in range(4):
        step(first, model, [number])
        step(second, beside, [number + 50])
    assert_equal(alone, model)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_of_torch_set_its_rates_and_can_be_saved_with_it(spec, make, schedule):
    model = make_model()
    optimizer = make(model)
    scheduler = SCHEDULES[schedule](optimizer)
    for number in range(3):
        step(optimizer, model, [number])
        scheduler.step()
    other_model = copy.deepcopy(model)
    other = make(other_model)
    resumed = SCHEDULES[schedule](other)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    resumed.load_state_dict(scheduler.state_dict())
    for number in range(3, 5):
        for each, each_model, rates in ((optimizer, model, scheduler), (other, other_model, resumed)):
            step(each, each_model, [number])
            rates.step()
    assert [group["lr"] for group in optimizer.param_groups] == [group["lr"] for group in other.param_groups]
    assert_equal(model, other_model)


def test_a_scaler_leaves_out_the_step_of_a_gradient_that_is_not_finite(spec, make):
    scaled, plain = make_model(), make_model()
    optimizer, reference = make(scaled), make(plain)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for number in range(3):
        set_gradients(plain, number)
        optimizer.zero_grad()
        terms = zip(scaled.parameters(), plain.parameters(), strict=True)
        scaler.scale(sum((weight * other.grad).sum() for weight, other in terms)).backward()
        if is_bad := number == 1:
            scaled[0].weight.grad[0, 0] = float("inf")
        before = weights(scaled)
        scaler.step(optimizer)
        scaler.update()
        if is_bad:
            assert all(torch.equal(a, b) for a, b in zip(before, weights(scaled), strict=True))
        else:
            reference.step()
    for mine, expected in zip(weights(scaled), weights(plain), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-6)


def test_gradients_that_are_zeroed_and_not_dropped_leave_weights_finite(spec, make):
    model = make_model()
    optimizer = make(model)
    step(optimizer, model, range(2))
    optimizer.zero_grad(set_to_none=False)
    for _ in range(3):
        optimizer.step()
    assert all(torch.isfinite(weight).all() for weight in weights(model))


def test_a_run_that_added_a_group_goes_on_from_its_state(spec, make):
    model, late = make_model(), torch.nn.Linear(4, 3)
    optimizer = make(model)
    step(optimizer, model, range(2))
    both = torch.nn.ModuleList([model, late])
    optimizer.add_param_group({"params": list(late.parameters()), "param_names": ["late.weight", "late.bias"]})
    step(optimizer, both, range(2, 4))
    other_both = copy.deepcopy(both)
    other = make(other_both[0])
    other.add_param_group({"params": list(other_both[1].parameters()), "param_names": ["late.weight", "late.bias"]})
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    step(optimizer, both, range(4, 6))
    step(other, other_both, range(4, 6))
    assert_equal(both, other_both)


def test_hooks_of_a_step_are_called_once_around_it(spec, make):
    model = make_model()
    optimizer = make(model)
    calls = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    step(optimizer, model, range(2))
    assert calls == ["before", "after"] * 2
