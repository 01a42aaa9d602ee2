import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.adagrad import AdagradReference
from tests.reference.trajectory import apply, assert_follows, gradients, parameter, reload

from swift_optim_zoo._chunks import CHUNK
from swift_optim_zoo.adagrad import Adagrad

OF_TORCH = {"lr": 0.1, "lr_decay": 0.05, "eps": 1e-6, "initial_accumulator_value": 0.3, "weight_decay": 0.1}
OPTIONS = [{}, {"weight_decay": 0.1}, {"lr_decay": 0.05}, {"initial_accumulator_value": 0.3}, {"eps": 0.5}, OF_TORCH]


@settings(max_examples=25, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
    lr=st.floats(1e-4, 1e-1),
    lr_decay=st.sampled_from([0.0, 0.2]),
    eps=st.sampled_from([1e-10, 0.5]),
    initial_accumulator_value=st.sampled_from([0.0, 0.1]),
    weight_decay=st.sampled_from([0.0, 0.1]),
    decoupled_decay=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(shape, seed, **options):
    assert_follows(lambda p: Adagrad([p], **options), lambda w: AdagradReference(w, **options), shape, seed=seed)


def test_the_first_step_is_the_learning_rate_and_the_next_shrinks_by_the_root():
    param = torch.nn.Parameter(torch.tensor([0.0, 0.0], dtype=torch.float64))
    optimizer = Adagrad([param], lr=0.5)
    apply(optimizer, param, [torch.tensor([3.0, -0.1], dtype=torch.float64)])
    torch.testing.assert_close(param.tolist(), [-0.5, 0.5])
    apply(optimizer, param, [torch.tensor([4.0, 0.0], dtype=torch.float64)])
    torch.testing.assert_close(param.tolist(), [-0.5 - 0.5 * 4 / 5, 0.5])


def test_decoupled_decay_falls_with_the_rate():
    param = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = Adagrad([param], lr=0.5, lr_decay=1.0, weight_decay=0.1, decoupled_decay=True)
    apply(optimizer, param, [torch.zeros(1, dtype=torch.float64)] * 2)
    assert param.item() == pytest.approx((1 - 0.5 * 0.1) * (1 - 0.25 * 0.1), rel=1e-15)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(options) or "defaults")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_ten_steps_are_those_of_torch_bit_for_bit(options, dtype):
    ours, theirs = parameter((6, 4), dtype=dtype), parameter((6, 4), dtype=dtype)
    grads = gradients((6, 4), 10, dtype=dtype)
    apply(Adagrad([ours], **options), ours, grads)
    apply(torch.optim.Adagrad([theirs], foreach=False, **options), theirs, grads)
    assert torch.equal(ours, theirs)


def test_a_tensor_of_several_pieces_moves_as_torch_moves_it():
    shape = (CHUNK + 3,)
    ours, theirs = parameter(shape, dtype=torch.float32), parameter(shape, dtype=torch.float32)
    grads = gradients(shape, 2, dtype=torch.float32)
    apply(Adagrad([ours], **OF_TORCH), ours, grads)
    apply(torch.optim.Adagrad([theirs], foreach=False, **OF_TORCH), theirs, grads)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


def test_a_run_that_torch_began_goes_on_here_bit_for_bit():
    ours, theirs = parameter((6, 4)), parameter((6, 4))
    grads = gradients((6, 4), 8)
    reference = torch.optim.Adagrad([theirs], foreach=False, **OF_TORCH)
    apply(reference, theirs, grads[:4])
    with torch.no_grad():
        ours.copy_(theirs)
    optimizer = Adagrad([ours])
    optimizer.load_state_dict(reload(reference.state_dict()))
    apply(optimizer, ours, grads[4:])
    apply(reference, theirs, grads[4:])
    assert torch.equal(ours, theirs)


def test_a_state_that_was_saved_goes_on_with_all_options():
    options = OF_TORCH | {"decoupled_decay": True}
    straight, halfway = parameter((6, 4)), parameter((6, 4))
    grads = gradients((6, 4), 8)
    apply(Adagrad([straight], **options), straight, grads)
    first, second = Adagrad([halfway], **options), Adagrad([halfway], **options)
    apply(first, halfway, grads[:3])
    second.load_state_dict(reload(first.state_dict()))
    apply(second, halfway, grads[3:])
    assert torch.equal(straight, halfway)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, "lr must be >= 0, got -1.0"),
        ({"lr_decay": -0.1}, "lr_decay must be >= 0, got -0.1"),
        ({"eps": -1e-9}, "eps must be >= 0, got -1e-09"),
        ({"eps": 0.0}, "eps must be > 0 where initial_accumulator_value is 0, got 0.0"),
        ({"initial_accumulator_value": -0.5}, "initial_accumulator_value must be >= 0, got -0.5"),
        ({"weight_decay": -0.1}, "weight_decay must be >= 0, got -0.1"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_refuses_options_out_of_their_range(options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Adagrad([parameter((3,))], **options)


def test_without_eps_it_takes_sums_that_start_above_zero():
    param = torch.nn.Parameter(torch.tensor([1.0, 1.0], dtype=torch.float64))
    optimizer = Adagrad([param], lr=0.5, eps=0.0, initial_accumulator_value=9.0)
    apply(optimizer, param, [torch.tensor([4.0, 0.0], dtype=torch.float64)])
    torch.testing.assert_close(param.tolist(), [1 - 0.5 * 4 / 5, 1.0])
