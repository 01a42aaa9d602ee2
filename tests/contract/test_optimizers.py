"""Optimizers: steps move what has a gradient, a rate of zero moves nothing, and their state can be kept."""

from __future__ import annotations

import copy

import pytest
import torch

from swift_core.plugins.options import prepared

KIND = "optimizer"
FILLED = {"lr": 1e-2, "weight_decay": 0.1, "betas": [0.9, 0.99], "eps": 1e-8}
"""What core fills in where an optimizer has such an option."""

NUM_MEASURING = {"schedule_free_radam": 4}
"""Steps at the start that an optimizer may take for measuring, where it is not one."""

RATES = (1e-2, 1e-1, 1.0, 10.0)
"""Learning rates to choose from: the steps of some optimizers are relative to the weights, or find their own size."""


def make_model() -> torch.nn.Module:
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(24, 32), torch.nn.LayerNorm(32), torch.nn.Linear(32, 8))


def groups(model: torch.nn.Module) -> list[dict]:
    """Return parameter groups as core makes them: matrices with decay, the others without."""
    named = list(model.named_parameters())
    decayed = {
        "params": [p for _, p in named if p.ndim > 1],
        "param_names": [n for n, p in named if p.ndim > 1],
        "weight_decay": 0.1,
    }
    others = {
        "params": [p for _, p in named if p.ndim < 2],
        "param_names": [n for n, p in named if p.ndim < 2],
        "weight_decay": 0.0,
    }
    return [decayed, others]


def set_gradients(model: torch.nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(100 + step)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def weights(model: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.fixture
def make(target, source):
    """Return a function that builds the optimizer of a model with options as core fills them."""
    filled = {option.name: FILLED[option.name] for option in source.options if option.name in FILLED}

    def build(model: torch.nn.Module, lr: float = FILLED["lr"]) -> torch.optim.Optimizer:
        options = filled | {"lr": lr} if "lr" in filled else filled
        return target(groups(model), **prepared(target, options))

    return build


def test_it_is_a_torch_optimizer_with_the_groups_it_was_given(spec, make):
    optimizer = make(make_model())
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert [group["lr"] for group in optimizer.param_groups] == [1e-2, 1e-2]


def test_some_steps_move_every_parameter_and_keep_it_finite(spec, make):
    model = make_model()
    optimizer, before = make(model, lr=1.0), weights(model)
    for step in range(NUM_MEASURING.get(spec.name, 1) + 1):
        set_gradients(model, step)
        optimizer.step()
    for old, new in zip(before, weights(model), strict=True):
        assert torch.isfinite(new).all()
        assert not torch.equal(old, new)


def test_a_learning_rate_of_zero_moves_nothing(spec, make):
    model = make_model()
    optimizer, before = make(model), weights(model)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    for step in range(3):
        set_gradients(model, step)
        optimizer.step()
    assert all(torch.equal(old, new) for old, new in zip(before, weights(model), strict=True))


def test_a_parameter_without_gradient_stays(spec, make):
    model = make_model()
    optimizer = make(model)
    set_gradients(model, 0)
    model[0].weight.grad = None
    before = model[0].weight.detach().clone()
    optimizer.step()
    assert torch.equal(before, model[0].weight)


def test_it_goes_on_from_its_state_as_if_it_had_never_stopped(spec, make, tmp_path):
    model = make_model()
    optimizer = make(model)
    for step in range(3):
        set_gradients(model, step)
        optimizer.step()
    other_model = copy.deepcopy(model)
    other = make(other_model)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for step in range(3, 6):
        for each, stepped in ((model, optimizer), (other_model, other)):
            set_gradients(each, step)
            stepped.step()
    assert all(torch.equal(a, b) for a, b in zip(weights(model), weights(other_model), strict=True))


def test_it_goes_down_a_bowl(spec, make):
    assert any(goes_down(make, lr) for lr in RATES)


def goes_down(make, lr: float) -> bool:
    """Say whether the squared distance to the bottom falls below 0.7 of that at the start within 200 steps."""
    model = make_model()
    optimizer = make(model, lr=lr)
    goal = [torch.randn_like(parameter) for parameter in model.parameters()]
    start = None
    for _ in range(200):
        optimizer.zero_grad()
        distance = sum(((p - g) ** 2).sum() for p, g in zip(model.parameters(), goal, strict=True))
        distance.backward()
        optimizer.step()
        start = distance.item() if start is None else start
        if distance.item() < 0.7 * start:
            return True
    return False


def test_a_closure_gives_its_loss_back(spec, make):
    model = make_model()
    optimizer = make(model)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(torch.ones(2, 24)).pow(2).mean()
        loss.backward()
        return loss

    assert optimizer.step(closure) > 0
