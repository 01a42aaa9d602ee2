"""What the plan counts for the native optimizers, against what they keep; and their steps in the backward pass."""

import pytest
import torch

from swift_core.contracts.handover import PartPlan
from swift_core.plugins.options import prepared, read_source
from swift_core.plugins.registry import installed
from swift_core.resolve.state_bytes import state_bytes
from swift_core.train.in_backward import BackwardSteps
from swift_native import SGD, Adafactor, AdamW, Lion

SHAPES = {"up.weight": (40, 65), "down.weight": (65, 40), "norm.weight": (65,)}
SIZE = 2 * 40 * 65 + 65
STEP_BYTES = 4 * len(SHAPES)
"""Each parameter counts its steps in one float, which the plan leaves out."""


def kept(spec, options, dtype):
    params = [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in SHAPES.values()]
    target = installed().load(spec)
    optimizer = target(params, **prepared(target, options))
    for param in params:
        param.grad = torch.randn_like(param)
    optimizer.step()
    return sum(value.nbytes for state in optimizer.state.values() for value in state.values()) - STEP_BYTES


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("native_adamw", {}),
        ("native_adamw", {"moments": "bf16", "amsgrad": True}),
        ("native_adamw", {"moments": "8bit", "rounding": "kahan"}),
        ("native_adamw", {"moments": "8bit", "amsgrad": True}),
        ("native_adamw", {"rounding": "stochastic"}),
        ("native_lion", {"moments": "bf16"}),
        ("native_lion", {"moments": "8bit", "rounding": "kahan"}),
        ("native_sgd", {}),
        ("native_sgd", {"rounding": "kahan"}),
        ("native_sgd", {"momentum": 0.9, "moments": "8bit"}),
        ("native_adafactor", {}),
    ],
)
def test_the_plan_counts_exactly_what_is_kept(name, options):
    (spec,) = (spec for spec in installed().specs("optimizer") if spec.name == name)
    part = PartPlan("optimizer", "train.optimizer_type", spec, read_source(spec), options, {})
    for dtype in (torch.float32,) if name == "native_adafactor" else (torch.float32, torch.bfloat16):
        assert state_bytes(part, SHAPES, dtype.itemsize) == kept(spec, options, dtype), dtype


def test_moments_of_8_bits_take_a_byte_a_weight_and_three_a_block():
    (spec,) = (spec for spec in installed().specs("optimizer") if spec.name == "native_adamw")
    part = PartPlan("optimizer", "train.optimizer_type", spec, read_source(spec), {"moments": "8bit"}, {})
    assert state_bytes(part, SHAPES, 4) == 2 * SIZE + 3 * (21 + 21 + 1)  # 2600 weights are 21 blocks of 128


def losses_of_a_model(seed):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(30, 20), torch.nn.Tanh(), torch.nn.Linear(20, 1)).to(torch.bfloat16)
    inputs = torch.randn(4, 8, 30).to(torch.bfloat16)
    return model, [lambda x=x: model(x).square().mean() for x in inputs]


@pytest.mark.parametrize(
    "make",
    [
        lambda params: AdamW(params, lr=0.01, moments="8bit", rounding="stochastic", seed=3),
        lambda params: Lion(params, lr=0.01, moments="bf16", rounding="stochastic"),
        lambda params: SGD(params, lr=0.01, momentum=0.9, rounding="kahan"),
    ],
)
def test_steps_in_the_backward_pass_give_the_same_bits(make):
    """Every element has its own random bits, whatever moves with it."""
    model, losses = losses_of_a_model(0)
    optimizer = make(model.parameters())
    for loss in losses:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    moved_alone, losses = losses_of_a_model(0)
    in_backward = BackwardSteps(make(moved_alone.parameters()), max_grad_norm=0.0)
    for loss in losses:
        in_backward.backward(loss())
    assert all(map(torch.equal, model.parameters(), moved_alone.parameters()))


def test_adafactor_moves_alone_too():
    weights = [torch.nn.Parameter(torch.ones(3, 4)), torch.nn.Parameter(torch.ones(4))]
    alone = [torch.nn.Parameter(weight.detach().clone()) for weight in weights]
    optimizer = Adafactor(weights)
    ((weights[0] @ weights[1]).square().sum()).backward()
    optimizer.step()
    BackwardSteps(Adafactor(alone), max_grad_norm=0.0).backward((alone[0] @ alone[1]).square().sum())
    assert all(map(torch.equal, weights, alone))


def test_clipping_by_the_optimizer_is_refused_in_the_backward_pass():
    weight = torch.nn.Parameter(torch.ones(3))
    in_backward = BackwardSteps(AdamW([weight], max_grad_norm=1.0), max_grad_norm=0.0)
    with pytest.raises(ValueError, match=r"max_grad_norm of the optimizer must be 0 when .* got 1.0"):
        in_backward.backward(weight.sum())
    assert torch.equal(weight, torch.ones(3))
