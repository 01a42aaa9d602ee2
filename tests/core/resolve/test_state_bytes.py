"""The bytes of states that a plan shows, against what optimizers really keep."""

import pytest
import torch

from swift_core.contracts.handover import PartPlan
from swift_core.plugins.options import prepared, read_source
from swift_core.plugins.registry import installed
from swift_core.resolve.state_bytes import evaluate, state_bytes

SHAPES = {
    "embed_tokens.weight": (96, 64),
    "layers.0.up.weight": (160, 64),
    "layers.0.down.weight": (64, 160),
    "layers.0.k.weight": (16, 64),
    "norm.weight": (64,),
}
OPTIONS = {
    "apollo": {"rank": 20},
    "fira": {"rank": 20},
    "galore_adafactor": {"rank": 20, "beta1": 0.9},
    "galore_adamw": {"rank": 20, "proj_type": "full"},
    "galore_adamw8bit": {"rank": 32},
    "prodigy": {"slice_p": 2},
    "q_galore": {"rank": 32},
    "sgd": {"momentum": 0.9},
    "soap": {"max_precondition_dim": 100},
}
FEW = 64
"""Bytes of counters and measurements beside the states, of one parameter."""


def declaring():
    specs = [spec for spec in installed().specs("optimizer") if spec.first_party]
    return [spec for spec in specs if "state_bytes" in read_source(spec).declared]


def kept(spec, options):
    params = {name: torch.nn.Parameter(torch.randn(shape)) for name, shape in SHAPES.items()}
    target = installed().load(spec)
    group = {"params": list(params.values()), "param_names": list(params)}
    optimizer = target([group], **prepared(target, {"lr": 1e-3} | options))
    for _ in range(2):
        for param in params.values():
            param.grad = torch.randn_like(param)
        optimizer.step()
    return sum(v.nbytes for state in optimizer.state.values() for v in state.values() if isinstance(v, torch.Tensor))


def test_all_optimizers_of_the_zoo_declare_what_they_keep():
    specs = [spec for spec in installed().specs("optimizer") if spec.distribution == "swift-optim-zoo"]
    assert {spec.name for spec in specs} <= {spec.name for spec in declaring()}


@pytest.mark.parametrize("spec", declaring(), ids=lambda spec: spec.name)
def test_the_formula_is_what_is_kept(spec):
    options = OPTIONS.get(spec.name, {})
    part = PartPlan("optimizer", "train.optimizer_type", spec, read_source(spec), options, {})
    expected = state_bytes(part, SHAPES, 4)
    assert expected <= kept(spec, options) <= expected + FEW * len(SHAPES)


def test_a_formula_reads_numbers_names_and_choices_and_nothing_else():
    names = {"rank": 4, "rows": 10, "proj_type": "std"}
    assert evaluate("2 * rank + (rows if proj_type == 'std' else 0)", names) == 18
    assert evaluate("ceil(rows / rank) + max(1, 2)", names) == 5
    with pytest.raises(ValueError, match="is no arithmetic"):
        evaluate("__import__('os')", names)
    with pytest.raises(ValueError, match="is no arithmetic"):
        evaluate("rank.real", names)
