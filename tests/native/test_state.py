"""Saving, loading, and exchanging state with torch's own AdamW."""

import copy
import io

import pytest
import torch

from swift_native import AdamW


def model(seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(7, 11), torch.nn.Linear(11, 3)).to(dtype)


def train(net, optimizer, num_steps, seed):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num_steps):
        optimizer.zero_grad()
        for param in net.parameters():
            param.grad = torch.randn(param.shape, generator=generator).to(param.dtype)
        optimizer.step()


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def assert_same(one, other, **tolerance):
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(left, right, **tolerance)


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_resumed_run_is_equal_bit_for_bit(dtype, amsgrad):
    whole = model(dtype=dtype)
    optimizer = AdamW(whole.parameters(), lr=0.05, amsgrad=amsgrad)
    train(whole, optimizer, 10, seed=1)
    weights, state = through_a_file((whole.state_dict(), optimizer.state_dict()))
    train(whole, optimizer, 10, seed=2)

    resumed = model(seed=5, dtype=dtype)
    resumed.load_state_dict(weights)
    again = AdamW(resumed.parameters(), amsgrad=amsgrad)
    again.load_state_dict(state)
    assert again.param_groups[0]["lr"] == 0.05
    train(resumed, again, 10, seed=2)
    assert_same(resumed, whole, rtol=0, atol=0)


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("kind", [{}, {"fused": True}, {"foreach": True}])
@pytest.mark.parametrize(("first", "second"), [(torch.optim.AdamW, AdamW), (AdamW, torch.optim.AdamW)])
def test_state_is_exchanged_with_torch_both_ways(first, second, kind, amsgrad):
    def build(cls, net):
        return cls(net.parameters(), lr=0.05, amsgrad=amsgrad, **({} if cls is AdamW else kind))

    whole = model()
    optimizer = build(first, whole)
    train(whole, optimizer, 5, seed=1)
    state = copy.deepcopy(optimizer.state_dict())

    handed_over = copy.deepcopy(whole)
    other = build(second, handed_over)
    other.load_state_dict(state)
    train(whole, optimizer, 5, seed=2)
    train(handed_over, other, 5, seed=2)
    assert_same(handed_over, whole, rtol=1e-5, atol=1e-6)
    steps = {float(entry["step"]) for entry in other.state_dict()["state"].values()}
    assert steps == {10.0}


def test_state_dicts_have_the_entries_of_torch():
    ours, theirs = model(), model()
    states = []
    for net, cls in ((ours, AdamW), (theirs, torch.optim.AdamW)):
        optimizer = cls(net.parameters())
        train(net, optimizer, 1, seed=1)
        states.append(optimizer.state_dict()["state"])
    one, other = states
    assert one.keys() == other.keys()
    for mine, torchs in zip(one.values(), other.values(), strict=True):
        described = [{key: (value.dtype, value.shape) for key, value in entry.items()} for entry in (mine, torchs)]
        assert described[0] == described[1]


def test_moments_of_bfloat16_parameters_are_float32_and_stay_so_when_loaded():
    net = model(dtype=torch.bfloat16)
    optimizer = AdamW(net.parameters())
    train(net, optimizer, 3, seed=1)
    resumed = AdamW(copy.deepcopy(net).parameters())
    resumed.load_state_dict(through_a_file(optimizer.state_dict()))
    (param, *_) = resumed.param_groups[0]["params"]
    (original, *_) = net.parameters()
    assert resumed.state[param]["exp_avg"].dtype is torch.float32
    assert torch.equal(resumed.state[param]["exp_avg"], optimizer.state[original]["exp_avg"])


def test_bfloat16_moments_from_torch_are_taken_up_in_float32():
    net = model(dtype=torch.bfloat16)
    optimizer = torch.optim.AdamW(net.parameters())
    train(net, optimizer, 3, seed=1)
    resumed = AdamW(net.parameters())
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(net, resumed, 1, seed=2)
    (param, *_) = net.parameters()
    assert resumed.state[param]["exp_avg"].dtype is torch.float32


def test_load_hooks_of_a_user_are_kept():
    net = model()
    optimizer = AdamW(net.parameters())
    train(net, optimizer, 2, seed=1)
    saved = copy.deepcopy(optimizer.state_dict())

    def forget_lr(_, state):
        groups = [{**group, "lr": 0.5} for group in state["param_groups"]]
        return {**state, "param_groups": groups}

    optimizer.register_load_state_dict_pre_hook(forget_lr)
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize("step", [3, 3.0, torch.tensor(3.0, dtype=torch.float64), torch.tensor([3.0])])
def test_a_step_count_of_another_form_is_understood(step):
    net = model()
    optimizer = AdamW(net.parameters())
    train(net, optimizer, 3, seed=1)
    state = copy.deepcopy(optimizer.state_dict())
    for entry in state["state"].values():
        entry["step"] = copy.deepcopy(step)
    other_net = copy.deepcopy(net)
    other = AdamW(other_net.parameters())
    other.load_state_dict(state)
    train(net, optimizer, 1, seed=2)
    train(other_net, other, 1, seed=2)
    assert_same(other_net, net, rtol=0, atol=0)


def test_state_of_another_shape_is_refused():
    net = torch.nn.Linear(3, 4, bias=False)
    optimizer = AdamW(net.parameters())
    train(net, optimizer, 1, seed=1)
    other = torch.nn.Linear(5, 4, bias=False)
    resumed = AdamW(other.parameters())
    resumed.load_state_dict(optimizer.state_dict())
    other.weight.grad = torch.ones(4, 5)
    with pytest.raises(ValueError, match=r"exp_avg has shape \(4, 3\), the parameter \(4, 5\)"):
        resumed.step()


def test_state_of_adam_with_decay_in_the_gradient_is_refused():
    net = model()
    state = torch.optim.Adam(net.parameters(), weight_decay=0.1).state_dict()
    with pytest.raises(ValueError, match=r"the state dict is of Adam with weight decay inside the gradient"):
        AdamW(net.parameters()).load_state_dict(state)


@pytest.mark.parametrize("name", ["capturable", "differentiable"])
def test_state_that_asks_for_what_is_not_there_is_refused(name):
    net = model()
    state = torch.optim.AdamW(net.parameters(), foreach=False).state_dict()
    state["param_groups"][0][name] = True
    with pytest.raises(ValueError, match=f"the state dict asks for {name}=True"):
        AdamW(net.parameters()).load_state_dict(state)


def test_amsgrad_may_be_switched_on_in_mid_run():
    net = model()
    optimizer = AdamW(net.parameters())
    train(net, optimizer, 2, seed=1)
    optimizer.param_groups[0]["amsgrad"] = True
    train(net, optimizer, 2, seed=2)
    (param, *_) = net.parameters()
    assert torch.all(optimizer.state[param]["max_exp_avg_sq"] >= optimizer.state[param]["exp_avg_sq"])


def test_moments_that_are_no_plain_tensors_are_refused():
    net = torch.nn.Linear(3, 4, bias=False)
    optimizer = AdamW(net.parameters())
    train(net, optimizer, 1, seed=1)
    optimizer.state[net.weight]["exp_avg"] = torch.ones(4, 3, dtype=torch.float64).to_sparse()
    with pytest.raises(ValueError, match="the optimizer state of parameter 0 of group 0 cannot be used: exp_avg is a"):
        optimizer.step()
