"""Updates in the backward pass: the same step as usual, without gradients that coexist."""

import pytest
import torch

from swift_core.builtins.adamw import AdamW
from swift_core.train.in_backward import BackwardSteps


def two_models():
    torch.manual_seed(0)
    first = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3))
    second = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3))
    second.load_state_dict(first.state_dict())
    return first, second


def loss_of(model, seed):
    inputs = torch.randn(6, 5, generator=torch.Generator().manual_seed(seed))
    return model(inputs).square().sum()


def usual_step(model, optimizer, seed, max_norm):
    optimizer.zero_grad()
    loss_of(model, seed).backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm or float("inf"))
    optimizer.step()
    return norm


@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1e6])
def test_the_step_is_that_of_the_optimizer_after_the_whole_pass(max_norm):
    usual, moved = two_models()
    reference = AdamW([{"params": list(usual.parameters()), "weight_decay": 0.1}], lr=0.05)
    optimizer = AdamW([{"params": list(moved.parameters()), "weight_decay": 0.1}], lr=0.05)
    steps = BackwardSteps(optimizer, max_norm)
    for seed in range(4):
        norm = usual_step(usual, reference, seed, max_norm)
        steps.backward(loss_of(moved, seed))
        torch.testing.assert_close(steps.norm, norm)
    for ours, theirs in zip(moved.parameters(), usual.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradients_never_coexist_and_none_is_left():
    _, model = two_models()
    alive = []

    class Watch(torch.optim.SGD):
        def step(self, closure=None):
            alive.append(sum(param.grad is not None for param in model.parameters()))
            super().step(closure)

    BackwardSteps(Watch(model.parameters(), lr=0.1), 0.0).backward(loss_of(model, 0))
    assert alive == [1, 1, 1, 1]
    assert all(param.grad is None for param in model.parameters())


def test_a_shared_weight_moves_once_with_its_whole_gradient():
    weight, twin = torch.nn.Parameter(torch.tensor([2.0])), torch.nn.Parameter(torch.tensor([2.0]))
    BackwardSteps(torch.optim.SGD([weight], lr=0.1), 0.0).backward((weight * weight * 3).sum())
    (twin * twin * 3).sum().backward()
    torch.optim.SGD([twin], lr=0.1).step()
    torch.testing.assert_close(weight, twin)


def test_another_backward_pass_leaves_gradients_and_weights_alone():
    _, model = two_models()
    BackwardSteps(torch.optim.SGD(model.parameters(), lr=0.1), 0.0)
    before = [param.detach().clone() for param in model.parameters()]
    loss_of(model, 0).backward()
    assert all(param.grad is not None for param in model.parameters())
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
