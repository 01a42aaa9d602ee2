"""SGD in native code against torch's own."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swift_native import SGD

options = st.fixed_dictionaries(
    {
        "lr": st.sampled_from([0.0, 1e-3, 0.3]),
        "momentum": st.sampled_from([0.0, 0.5, 0.9]),
        "dampening": st.sampled_from([0.0, 0.3]),
        "weight_decay": st.sampled_from([0.0, 0.1]),
        "maximize": st.booleans(),
        "nesterov": st.booleans(),
    }
).filter(lambda option: not option["nesterov"] or (option["momentum"] > 0 and option["dampening"] == 0))


def train(params, optimizer, num_steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num_steps):
        for param in params:
            param.grad = torch.randn(param.shape, generator=generator)
        optimizer.step()


def parameters(shapes):
    generator = torch.Generator().manual_seed(1)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


@settings(max_examples=60, deadline=None)
@given(shapes=st.lists(st.lists(st.integers(1, 9), max_size=3).map(tuple), min_size=1, max_size=3), option=options)
def test_matches_torch(shapes, option):
    ours, theirs = parameters(shapes), parameters(shapes)
    train(ours, SGD(ours, **option), 5)
    train(theirs, torch.optim.SGD(theirs, **option), 5)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("first", "second"), [(SGD, torch.optim.SGD), (torch.optim.SGD, SGD)])
def test_state_is_exchanged_with_torch_both_ways(first, second):
    whole = parameters([(7, 3), (5,)])
    optimizer = first(whole, lr=0.1, momentum=0.9, dampening=0.5)
    train(whole, optimizer, 3)
    handed_over = copy.deepcopy(whole)
    other = second(handed_over, lr=0.1, momentum=0.9, dampening=0.5)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(whole, optimizer, 3, seed=2)
    train(handed_over, other, 3, seed=2)
    for one, another in zip(whole, handed_over, strict=True):
        torch.testing.assert_close(one, another, rtol=1e-5, atol=1e-6)


def test_without_momentum_only_steps_are_kept():
    (param,) = parameters([(3,)])
    optimizer = SGD([param])
    train([param], optimizer, 1)
    assert optimizer.state[param].keys() == {"step"}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"momentum": -0.1}, "momentum must be >= 0, got -0.1"),
        ({"nesterov": True}, "nesterov needs momentum > 0 and dampening 0, got 0.0 and 0.0"),
        ({"dampening": float("inf")}, "dampening must be a number, got inf"),
    ],
)
def test_a_wrong_option_is_an_error_with_the_value(option, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        SGD(parameters([(1,)]), **option)
