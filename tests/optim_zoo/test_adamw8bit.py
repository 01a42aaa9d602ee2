"""Who takes the steps of adamw8bit on a CPU: swift-native where it is installed, else plain torch, its oracle."""

import copy

import pytest
import torch
from tests.reference.trajectory import apply, gradients, parameter, reload

import swift_native
from swift_optim_zoo import _steppers
from swift_optim_zoo.adamw8bit import AdamW8bit

SHAPES = [(80, 70), (9,)]
"""One of 8-bit moments and one of wide ones."""


@pytest.fixture
def without_native(monkeypatch):
    monkeypatch.setattr(_steppers, "find_spec", lambda name: None)


def params(dtype=torch.float32):
    return [parameter(shape, dtype=dtype) for shape in SHAPES]


def train(optimizer, weights, num_steps, first=0):
    for step in range(first, first + num_steps):
        for place, param in enumerate(weights):
            param.grad = gradients(param.shape, 1, seed=17 * step + place, dtype=param.dtype)[0]
        optimizer.step()


def resumed_from(optimizer, weights, **options):
    twins = [torch.nn.Parameter(param.detach().clone()) for param in weights]
    twin = AdamW8bit(twins, **options)
    twin.load_state_dict(reload(optimizer.state_dict()))
    return twin, twins


def distance(moved, exact, start):
    return float((moved.double() - exact).norm() / (exact - start.double()).norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_its_steps_are_those_of_the_native_kernels_bit_for_bit(dtype):
    ours, theirs = params(dtype), params(dtype)
    options = {"lr": 1e-2, "weight_decay": 0.1, "betas": (0.8, 0.95), "eps": 1e-6}
    groups = [{"params": theirs[:1], "moments": "8bit"}, {"params": theirs[1:], "moments": "fp32"}]
    train(AdamW8bit(ours, **options), ours, 5)
    train(swift_native.AdamW(groups, **options), theirs, 5)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_native_and_plain_steps_stay_near_those_of_adamw_and_the_native_ones_nearer(monkeypatch):
    start, grads = parameter((80, 70), dtype=torch.float32), gradients((80, 70), 60, dtype=torch.float32)
    native, plain, exact = (torch.nn.Parameter(start.detach().clone()) for _ in range(3))
    exact = torch.nn.Parameter(exact.double())
    options = {"lr": 1e-2, "weight_decay": 0.1}
    apply(AdamW8bit([native], **options), native, grads)
    monkeypatch.setattr(_steppers, "find_spec", lambda name: None)
    apply(AdamW8bit([plain], **options), plain, grads)
    apply(torch.optim.AdamW([exact], **options), exact, [grad.double() for grad in grads])
    errors = [distance(moved.detach(), exact.detach(), start.detach()) for moved in (native, plain)]
    assert 1e-5 < errors[0] < errors[1] < 0.08


def test_the_rates_of_a_group_are_those_of_now():
    weights = params()
    optimizer = AdamW8bit([{"params": weights[:1]}, {"params": weights[1:], "lr": 0.5}], lr=0.25)
    before = [param.detach().clone() for param in weights]
    optimizer.param_groups[0]["lr"] = 0.0
    train(optimizer, weights, 1)
    assert torch.equal(weights[0], before[0])
    torch.testing.assert_close((weights[1] - before[1]).abs(), torch.full((9,), 0.5), rtol=1e-4, atol=0)


def test_a_group_that_is_added_moves_too():
    first, second = params()
    optimizer = AdamW8bit([first], lr=1e-2)
    train(optimizer, [first], 2)
    optimizer.add_param_group({"params": [second], "lr": 1e-3})
    before, moments = second.detach().clone(), optimizer.state[first]["exp_avg"]
    train(optimizer, [first, second], 1)
    torch.testing.assert_close((second - before).abs(), torch.full((9,), 1e-3), rtol=1e-3, atol=0)
    assert optimizer.state[first]["exp_avg"] is moments
    assert float(optimizer.state[first]["step"]) == 3


@pytest.mark.parametrize("way", ["state dict", "copy", "alone"])
def test_native_steps_go_on_bit_for_bit(way):
    straight, halfway = params(torch.bfloat16), params(torch.bfloat16)
    train(AdamW8bit(straight, lr=0.1), straight, 8)
    first = AdamW8bit(halfway, lr=0.1)
    train(first, halfway, 4)
    if way == "copy":
        second = copy.deepcopy(first)
        resumed = second.param_groups[0]["params"]
    else:
        second, resumed = resumed_from(first, halfway, lr=0.1)
    if way == "alone":
        second.step = lambda: [second.step_param_alone(param) for param in resumed]
    assert second.state[resumed[0]]["exp_avg"].dtype is torch.uint8
    train(second, resumed, 4, first=4)
    assert all(torch.equal(a, b) for a, b in zip(resumed, straight, strict=True))


def test_a_run_in_the_codes_of_plain_torch_goes_on_in_them_bit_for_bit(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(_steppers, "find_spec", lambda name: None)
        straight, halfway = params(), params()
        train(AdamW8bit(straight, lr=0.1), straight, 8)
        first = AdamW8bit(halfway, lr=0.1)
        train(first, halfway, 4)
    second, resumed = resumed_from(first, halfway, lr=0.1)
    assert second.state[resumed[0]]["exp_avg_codes"].dtype is torch.int8
    train(second, resumed, 4, first=4)
    assert all(torch.equal(a, b) for a, b in zip(resumed, straight, strict=True))


def test_native_codes_are_refused_where_nothing_reads_them(monkeypatch):
    weights = params()
    optimizer = AdamW8bit(weights)
    train(optimizer, weights, 1)
    monkeypatch.setattr(_steppers, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"have the codes of swift-native, .*: pip install swift-native$"):
        resumed_from(optimizer, weights)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_types_that_the_kernels_do_not_take_move_in_plain_torch(dtype, caplog):
    caplog.set_level("INFO")
    weights = params(dtype)
    optimizer = AdamW8bit(weights, lr=1e-2)
    train(optimizer, weights, 1)
    assert "exp_avg_codes" in optimizer.state[weights[0]]
    assert caplog.messages[0].startswith("adamw8bit: plain torch takes the steps")


def test_the_log_says_that_native_kernels_take_the_steps(caplog):
    caplog.set_level("INFO")
    AdamW8bit(params())
    assert caplog.messages == ["adamw8bit: swift-native takes the steps"]
