import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.rmsprop import RMSpropReference
from tests.reference.trajectory import apply, assert_follows, gradients, parameter, reload

from swift_optim_zoo._chunks import CHUNK
from swift_optim_zoo.rmsprop import RMSprop

OF_TORCH = {"lr": 0.1, "alpha": 0.9, "eps": 1e-6, "momentum": 0.8, "centered": True, "weight_decay": 0.1}
OPTIONS = [{}, {"weight_decay": 0.1}, {"alpha": 0.5}, {"eps": 0.5}, {"momentum": 0.8}, {"centered": True}, OF_TORCH]


@settings(max_examples=25, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
    lr=st.floats(1e-4, 1e-1),
    alpha=st.floats(0.1, 0.99),
    eps=st.sampled_from([1e-8, 0.5]),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    centered=st.booleans(),
    weight_decay=st.sampled_from([0.0, 0.1]),
    decoupled_decay=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(shape, seed, **options):
    assert_follows(lambda p: RMSprop([p], **options), lambda w: RMSpropReference(w, **options), shape, seed=seed)


def test_the_first_step_is_the_learning_rate_over_the_root_of_one_less_alpha():
    param = torch.nn.Parameter(torch.tensor([0.0, 0.0], dtype=torch.float64))
    apply(RMSprop([param], lr=0.5, alpha=0.75), param, [torch.tensor([3.0, -0.1], dtype=torch.float64)])
    torch.testing.assert_close(param.tolist(), [-1.0, 1.0], rtol=1e-6, atol=0)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(options) or "defaults")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_ten_steps_are_those_of_torch_bit_for_bit(options, dtype):
    ours, theirs = parameter((6, 4), dtype=dtype), parameter((6, 4), dtype=dtype)
    grads = gradients((6, 4), 10, dtype=dtype)
    apply(RMSprop([ours], **options), ours, grads)
    apply(torch.optim.RMSprop([theirs], foreach=False, **options), theirs, grads)
    assert torch.equal(ours, theirs)


def test_a_tensor_of_several_pieces_moves_as_torch_moves_it():
    shape = (CHUNK + 3,)
    ours, theirs = parameter(shape, dtype=torch.float32), parameter(shape, dtype=torch.float32)
    grads = gradients(shape, 2, dtype=torch.float32)
    apply(RMSprop([ours], **OF_TORCH), ours, grads)
    apply(torch.optim.RMSprop([theirs], foreach=False, **OF_TORCH), theirs, grads)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


def test_centered_gradients_that_never_change_leave_weights_finite():
    param = parameter((64,), dtype=torch.float32)
    grad = gradients((64,), 1, dtype=torch.float32)[0]
    apply(RMSprop([param], alpha=0.5, centered=True), param, [grad] * 100)
    assert torch.isfinite(param).all()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, {"square_avg"}),
        ({"momentum": 0.9}, {"square_avg", "momentum_buffer"}),
        ({"centered": True}, {"square_avg", "grad_avg"}),
        ({"momentum": 0.9, "centered": True}, {"square_avg", "grad_avg", "momentum_buffer"}),
    ],
    ids=["plain", "momentum", "centered", "both"],
)
def test_nothing_is_kept_that_no_option_asks_for(options, names):
    param = parameter((3,))
    optimizer = RMSprop([param], **options)
    apply(optimizer, param, gradients((3,), 1))
    assert optimizer.state[param].keys() == names


def test_a_run_that_torch_began_goes_on_here_bit_for_bit():
    ours, theirs = parameter((6, 4)), parameter((6, 4))
    grads = gradients((6, 4), 8)
    reference = torch.optim.RMSprop([theirs], foreach=False, **OF_TORCH)
    apply(reference, theirs, grads[:4])
    with torch.no_grad():
        ours.copy_(theirs)
    optimizer = RMSprop([ours])
    optimizer.load_state_dict(reload(reference.state_dict()))
    apply(optimizer, ours, grads[4:])
    apply(reference, theirs, grads[4:])
    assert torch.equal(ours, theirs)


def test_a_state_that_was_saved_goes_on_with_all_options():
    options = OF_TORCH | {"decoupled_decay": True}
    straight, halfway = parameter((6, 4)), parameter((6, 4))
    grads = gradients((6, 4), 8)
    apply(RMSprop([straight], **options), straight, grads)
    first, second = RMSprop([halfway], **options), RMSprop([halfway], **options)
    apply(first, halfway, grads[:3])
    second.load_state_dict(reload(first.state_dict()))
    apply(second, halfway, grads[3:])
    assert torch.equal(straight, halfway)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, "lr must be >= 0, got -1.0"),
        ({"alpha": 1.0}, "alpha must be in [0, 1), got 1.0"),
        ({"eps": 0.0}, "eps must be > 0, got 0.0"),
        ({"momentum": -0.1}, "momentum must be in [0, 1), got -0.1"),
        ({"weight_decay": -0.1}, "weight_decay must be >= 0, got -0.1"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_refuses_options_out_of_their_range(options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        RMSprop([parameter((3,))], **options)
