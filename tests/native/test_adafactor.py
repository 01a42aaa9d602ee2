"""Adafactor in native code against torch's own."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swift_native import Adafactor

SHAPES = [(7, 5), (3,), (), (40, 300), (2, 3, 4, 5), (1, 6), (6, 1)]


def parameters(shapes, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def train(params, optimizer, num_steps, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num_steps):
        for param in params:
            param.grad = scale * torch.randn(param.shape, generator=generator)
        optimizer.step()


def assert_same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-6)


@settings(max_examples=60, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(1, 9), max_size=4).map(tuple), min_size=1, max_size=3),
    lr=st.sampled_from([0.0, 1e-3, 0.3]),
    decay=st.sampled_from([0.0, 0.1]),
    threshold=st.sampled_from([1.0, 2.0]),
    maximize=st.booleans(),
    scale=st.sampled_from([1.0, 1e-6, 100.0]),
)
def test_matches_torch(shapes, lr, decay, threshold, maximize, scale):
    ours, theirs = parameters(shapes), parameters(shapes)
    common = {"lr": lr, "weight_decay": decay, "maximize": maximize}
    train(ours, Adafactor(ours, threshold=threshold, **common), 4, scale=scale)
    train(theirs, torch.optim.Adafactor(theirs, d=threshold, **common), 4, scale=scale)
    assert_same(ours, theirs)


@pytest.mark.parametrize("classes", [(Adafactor, torch.optim.Adafactor), (torch.optim.Adafactor, Adafactor)])
def test_state_is_exchanged_with_torch_both_ways(classes):
    whole = parameters(SHAPES)
    optimizer = classes[0](whole)
    train(whole, optimizer, 3)
    handed_over = copy.deepcopy(whole)
    other = classes[1](handed_over)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(whole, optimizer, 3, seed=2)
    train(handed_over, other, 3, seed=2)
    assert_same(whole, handed_over)


def test_threads_change_nothing_and_a_resumed_run_is_equal_bit_for_bit(threads):
    shapes = [(3000, 70), (70, 3000), (2, 300, 70)]
    threads(1)
    alone = parameters(shapes)
    train(alone, Adafactor(alone), 4)
    threads(3)
    shared = parameters(shapes)
    optimizer = Adafactor(shared)
    train(shared, optimizer, 2)
    state = copy.deepcopy(optimizer.state_dict())
    resumed = Adafactor(shared)
    resumed.load_state_dict(state)
    reference = parameters(shapes)
    whole = Adafactor(reference)
    train(reference, whole, 2)
    train(reference, whole, 2, seed=5)
    train(shared, resumed, 2, seed=5)
    assert all(torch.equal(one, other) for one, other in zip(reference, shared, strict=True))
    again = parameters(shapes)
    train(again, Adafactor(again), 4)
    assert all(torch.equal(one, other) for one, other in zip(alone, again, strict=True))


def test_a_parameter_that_does_not_lie_in_order_is_updated_in_place():
    plain = parameters([(6, 8)])
    base = torch.zeros(6, 16)
    odd = [torch.nn.Parameter(base[:, ::2])]
    odd[0].data.copy_(plain[0].data)
    version = odd[0]._version
    for params in (plain, odd):
        train(params, Adafactor(params), 2)
    assert torch.equal(*plain, *odd)
    assert torch.equal(base[:, 1::2], torch.zeros(6, 8))
    assert odd[0]._version > version


def test_the_state_of_a_matrix_is_a_row_and_a_column():
    params = parameters([(40, 300)])
    optimizer = Adafactor(params)
    train(params, optimizer, 1)
    assert sum(value.numel() for value in optimizer.state[params[0]].values()) == 40 + 300 + 1


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"lr": -1.0}, "lr must be >= 0, got -1.0"),
        ({"threshold": 0.0}, "threshold must be > 0, got 0.0"),
        ({"min_scale": -1.0}, "min_scale must be > 0, got -1.0"),
        ({"beta2_decay": 0.5}, "beta2_decay must be <= 0, got 0.5"),
    ],
)
def test_a_wrong_option_is_an_error_with_the_value(option, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Adafactor(parameters([(1,)]), **option)


def test_bfloat16_weights_are_refused():
    param = torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
    with pytest.raises(
        ValueError, match=r"cannot train parameter 0 of group 0: it is torch\.bfloat16; its weights are"
    ):
        Adafactor([param])
