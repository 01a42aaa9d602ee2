"""The hand-over to bitsandbytes, with stand-ins for its optimizer and for the GPU: none of its kernels runs here."""

import copy
import sys
import types

import pytest
import torch
from tests.reference.trajectory import apply

from swift_optim_zoo import _steppers
from swift_optim_zoo.adamw8bit import AdamW8bit


class StandIn(torch.optim.Optimizer):
    """Momentum, kept under the names of bitsandbytes' state; its step is a number."""

    def __init__(self, params):
        super().__init__(params, {"lr": 1e-3})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    state.update(step=0, state1=torch.zeros(param.shape, dtype=torch.uint8), absmax1=torch.zeros(1))
                state["step"] += 1
                assert type(state["step"]) is int
                state["state1"] += 1
                param.sub_(param.grad * group["lr"] * state["step"])


@pytest.fixture
def on_gpu(monkeypatch):
    """Take every parameter for one on a GPU, and install the stand-in."""
    library = types.ModuleType("bitsandbytes.optim")
    library.AdamW8bit = StandIn
    monkeypatch.setitem(sys.modules, "bitsandbytes", types.ModuleType("bitsandbytes"))
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", library)
    monkeypatch.setattr(_steppers, "places_of", lambda groups: ["cuda"])


def params():
    return [torch.nn.Parameter(torch.ones(5000, dtype=torch.bfloat16)), torch.nn.Parameter(torch.ones(3))]


def grads():
    return [torch.ones(5000, dtype=torch.bfloat16), torch.ones(3)]


def test_bitsandbytes_takes_the_steps_with_the_rates_of_now_and_says_so_once(on_gpu, caplog):
    weights = params()
    optimizer = AdamW8bit([{"params": weights[:1], "lr": 0.25}, {"params": weights[1:]}], lr=0.5)
    assert caplog.messages == ["adamw8bit: the parameters are on a GPU; bitsandbytes takes the steps"]
    for param, grad in zip(weights, grads(), strict=True):
        param.grad = grad
    optimizer.step()
    assert [param[0].item() for param in weights] == [0.75, 0.5]
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert [param[0].item() for param in weights] == [0.75, -0.5]


def test_a_parameter_moves_alone_under_bitsandbytes(on_gpu):
    weights = params()
    optimizer = AdamW8bit(weights, lr=0.5)
    weights[1].grad = torch.ones(3)
    optimizer.step_param_alone(weights[1])
    assert [param[0].item() for param in weights] == [1.0, 0.5]


@pytest.mark.parametrize("way", ["state dict", "copy"])
def test_the_state_of_bitsandbytes_goes_on_as_it_was_saved(on_gpu, way):
    weight = params()[0]
    first = AdamW8bit([weight], lr=0.25)
    apply(first, weight, grads()[:1])
    if way == "copy":
        second = copy.deepcopy(first)
        resumed = second.param_groups[0]["params"][0]
    else:
        resumed = torch.nn.Parameter(weight.detach().clone())
        second = AdamW8bit([resumed])
        second.load_state_dict(first.state_dict())
    apply(first, weight, grads()[:1])
    apply(second, resumed, grads()[:1])
    assert torch.equal(weight, resumed)
    assert second.state[resumed]["state1"].dtype is torch.uint8
    assert second.state[resumed]["step"] == 2


def test_moments_of_one_device_are_refused_on_the_other(on_gpu, monkeypatch):
    weight = params()[0]
    there = AdamW8bit([weight])
    apply(there, weight, grads()[:1])
    monkeypatch.setattr(_steppers, "places_of", lambda groups: ["cpu"])
    here = AdamW8bit([weight])
    with pytest.raises(ValueError, match=r"the saved moments are from a GPU and cannot be read on a CPU: .* on a GPU$"):
        here.load_state_dict(there.state_dict())
    apply(here, weight, grads()[:1])
    monkeypatch.setattr(_steppers, "places_of", lambda groups: ["cuda"])
    with pytest.raises(ValueError, match="the saved moments are from a CPU and cannot be read on a GPU"):
        there.load_state_dict(here.state_dict())


def test_a_gpu_without_bitsandbytes_is_refused_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr(_steppers, "places_of", lambda groups: ["cuda"])
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(ValueError, match="adamw8bit on a GPU needs the package bitsandbytes: pip install bitsandbytes"):
        AdamW8bit(params())


def test_parameters_on_several_kinds_of_devices_are_refused(monkeypatch):
    monkeypatch.setattr(_steppers, "places_of", lambda groups: ["cpu", "cuda"])
    with pytest.raises(ValueError, match="all on a GPU or all elsewhere, got cpu, cuda"):
        AdamW8bit(params())


def test_other_devices_are_looked_at_as_they_are(caplog):
    meta = torch.nn.Parameter(torch.ones(2, device="meta"))
    assert _steppers.places_of([{"params": [meta, *params()]}]) == ["cpu", "meta"]
    AdamW8bit([meta])
    assert caplog.messages == []
