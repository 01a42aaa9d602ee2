"""A step checks its tensors once and then only compares them with what it found: every change must still be seen."""

import gc
import time
import weakref

import pytest
import torch

from swift_native import AdamW


def made(num_params=3):
    params = [torch.nn.Parameter(torch.ones(64)) for _ in range(num_params)]
    optimizer = AdamW(params, lr=0.1, weight_decay=0.0)
    set_grads(params)
    optimizer.step()
    set_grads(params)
    return params, optimizer


def set_grads(params):
    for param in params:
        param.grad = torch.ones_like(param)


def kept(optimizer):
    """Return whether the next step goes by the plan of the last."""
    return optimizer._plan is not None and optimizer._plan.matches(optimizer.param_groups, optimizer.state)


def test_an_unchanged_step_goes_by_the_plan():
    params, optimizer = made()
    assert kept(optimizer)
    plan = optimizer._plan
    optimizer.step()
    assert optimizer._plan is plan
    assert [optimizer.state[param]["step"].item() for param in params] == [2, 2, 2]
    assert [param._version > 1 for param in params] == [True] * 3


def move_storage(params, optimizer):
    params[1].data = torch.full((64,), 5.0)


def replace_state(params, optimizer):
    optimizer.state[params[1]]["exp_avg"] = torch.full((64,), 7.0)


def swap_state_storage(params, optimizer):
    optimizer.state[params[1]]["exp_avg"].data = torch.full((64,), 7.0)


def clear_state(params, optimizer):
    optimizer.state.clear()


def another_group(params, optimizer):
    param = torch.nn.Parameter(torch.ones(3))
    param.grad = torch.ones(3)
    optimizer.add_param_group({"params": [param]})


def another_parameter(params, optimizer):
    param = torch.nn.Parameter(torch.ones(64))
    param.grad = torch.ones(64)
    optimizer.param_groups[0]["params"][1] = param


def transposed_gradient(params, optimizer):
    params[1].grad = torch.ones(128)[::2]


def negated_gradient(params, optimizer):
    params[1].grad = torch.complex(torch.zeros(64), -torch.ones(64)).conj().imag


def loaded_state(params, optimizer):
    optimizer.load_state_dict(AdamW([torch.nn.Parameter(torch.ones(64)) for _ in range(3)]).state_dict())


@pytest.mark.parametrize(
    "change",
    [
        move_storage,
        replace_state,
        swap_state_storage,
        clear_state,
        another_group,
        another_parameter,
        transposed_gradient,
        negated_gradient,
        loaded_state,
    ],
)
def test_a_change_is_seen_and_the_step_is_right(change):
    params, optimizer = made()
    change(params, optimizer)
    assert not kept(optimizer)
    everything = [param for group in optimizer.param_groups for param in group["params"]]
    before = [param.detach().clone() for param in everything]
    moments = [optimizer.state.get(param, {}).get("exp_avg") for param in everything]
    expected = [
        0.9 * (0 if moment is None else moment) + 0.1 * torch.ones_like(param)
        for param, moment in zip(everything, moments, strict=True)
    ]
    optimizer.step()
    for param, old, moment in zip(everything, before, expected, strict=True):
        torch.testing.assert_close(optimizer.state[param]["exp_avg"], moment)
        assert not torch.equal(param.detach(), old)


def test_amsgrad_switched_on_is_seen():
    params, optimizer = made()
    optimizer.param_groups[0]["amsgrad"] = True
    optimizer.step()
    assert "max_exp_avg_sq" in optimizer.state[params[0]]


def test_gradients_may_come_and_go():
    params, optimizer = made()
    params[1].grad = None
    optimizer.step()
    set_grads(params)
    optimizer.step()
    assert [optimizer.state[param]["step"].item() for param in params] == [3, 2, 3]
    params, optimizer = made()
    late = torch.nn.Parameter(torch.ones(3))
    optimizer.add_param_group({"params": [late]})
    optimizer.step()
    assert kept(optimizer)
    late.grad = torch.ones(3)
    optimizer.step()
    assert optimizer.state[late]["step"].item() == 1


@pytest.mark.parametrize(
    ("grad", "message"),
    [
        (lambda: torch.ones(64).to_sparse(), "the gradient of parameter 1 of group 0 is sparse_coo"),
        (
            lambda: torch.ones(64, dtype=torch.float64),
            "no kernel for parameter 1 of group 0: float32 parameter with float64",
        ),
    ],
)
def test_a_bad_gradient_is_refused_in_a_later_step_too_and_nothing_moves(grad, message):
    params, optimizer = made()
    before = [param.detach().clone() for param in params]
    params[1].grad_dtype = None
    params[1].grad = grad()
    with pytest.raises(ValueError, match=message):
        optimizer.step()
    assert all(torch.equal(param.detach(), old) for param, old in zip(params, before, strict=True))


def test_neither_gradients_nor_the_optimizer_are_kept_alive():
    params, optimizer = made()
    optimizer.step()
    grad = weakref.ref(params[0].grad)
    optimizer.zero_grad()
    assert grad() is None
    seen = weakref.ref(optimizer)
    del optimizer
    gc.collect()
    assert seen() is None


@pytest.mark.timed
def test_272_small_tensors_cost_the_checks_of_272_tensors_once():
    params, optimizer = made(272)
    by_plan, in_full = [], []
    for _ in range(30):
        for times, forget in ((by_plan, False), (in_full, True)):
            set_grads(params)
            if forget:
                optimizer._plan = None
            start = time.perf_counter()
            optimizer.step()
            times.append(time.perf_counter() - start)
    assert min(by_plan) < min(in_full) / 3
