import logging
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.prodigy import ProdigyReference
from tests.reference.trajectory import apply, gradients, parameter

from swift_optim_zoo.prodigy import Prodigy

SHAPES = ((3, 4), (5,))


def step_all(optimizer, params, grads):
    for param, grad in zip(params, grads, strict=True):
        param.grad = grad.clone()
    optimizer.step()


@settings(max_examples=25, deadline=None)
@given(
    lr=st.sampled_from([1.0, 0.5]),
    betas=st.tuples(st.floats(0.1, 0.95), st.floats(0.5, 0.999)),
    weight_decay=st.sampled_from([0.0, 0.1]),
    d0=st.sampled_from([1e-6, 1e-3]),
    d_coef=st.sampled_from([1.0, 0.5]),
    growth_rate=st.sampled_from([math.inf, 1.02]),
    use_bias_correction=st.booleans(),
    in_one_group=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(in_one_group, seed, **options):
    options["eps"] = 1e-8
    params = [parameter(shape, seed) for shape in SHAPES]
    reference = ProdigyReference([p.detach().numpy().copy() for p in params], **options)
    groups = [{"params": params}] if in_one_group else [{"params": [param]} for param in params]
    optimizer = Prodigy(groups, **options)
    for grads in zip(*(gradients(shape, 12, seed + 1) for shape in SHAPES), strict=True):
        step_all(optimizer, params, grads)
        reference.step([grad.numpy() for grad in grads])
    for param, weight in zip(params, reference.weights, strict=True):
        np.testing.assert_allclose(param.detach().numpy(), weight, rtol=1e-8, atol=1e-11)
    assert optimizer.param_groups[0]["d"] == pytest.approx(reference.d)


def test_finds_a_rate_that_brings_the_weights_home():
    param = torch.nn.Parameter(torch.full((10,), 5.0))
    optimizer = Prodigy([param])
    for _ in range(300):
        optimizer.zero_grad()
        (param**2).sum().backward()
        optimizer.step()
    assert param.abs().max() < 0.5
    assert optimizer.param_groups[0]["d"] > 1e-3


def test_gradients_of_zero_change_nothing():
    param = parameter((4,))
    start = param.detach().clone()
    apply(Prodigy([param], weight_decay=0.1), param, [torch.zeros(4, dtype=torch.float64)])
    assert torch.equal(param, start)


def test_slices_save_memory():
    param = parameter((12,))
    optimizer = Prodigy([param], slice_p=4)
    apply(optimizer, param, gradients((12,), 2))
    assert optimizer.state[param]["s"].numel() == optimizer.state[param]["p0"].numel() == 3


def test_a_group_with_rate_zero_stays():
    kept, moved = parameter((4,)), parameter((4,))
    start = kept.detach().clone()
    optimizer = Prodigy([{"params": [kept], "lr": 0.0, "weight_decay": 0.5}, {"params": [moved]}], d0=1e-2)
    step_all(optimizer, [kept, moved], [gradients((4,), 1)[0]] * 2)
    assert torch.equal(kept, start)
    assert not torch.equal(moved, start)


def test_refuses_two_learning_rates():
    params = [parameter((3,)), parameter((3,))]
    optimizer = Prodigy([{"params": [params[0]], "lr": 1.0}, {"params": [params[1]], "lr": 0.5}])
    with pytest.raises(ValueError, match=r"^prodigy takes one lr for all groups, or 0, got 0.5, 1.0$"):
        step_all(optimizer, params, gradients((3,), 2))


def test_says_when_the_learning_rate_looks_like_that_of_adamw(caplog):
    with caplog.at_level(logging.WARNING):
        Prodigy([parameter((3,))], lr=1e-4)
    assert "prodigy: lr 0.0001 scales down the rate that is found; 1 is right for most runs" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d0": 0.0}, "d0 must be > 0, got 0.0"),
        ({"growth_rate": 1.0}, "growth_rate must be > 1, got 1.0"),
        ({"slice_p": 0}, "slice_p must be an integer >= 1, got 0"),
        ({"beta3": 1.0}, r"beta3 must be in \[0, 1\), got 1.0"),
    ],
)
def test_refuses_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Prodigy([parameter((3,))], **options)
