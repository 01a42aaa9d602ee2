import pytest
import torch

from swift_core.assemble.optimizer import build_optimizer
from swift_core.assemble.param_groups import parameter_groups
from swift_core.contracts.settings import ParamGroupRef
from swift_core.errors import SwiftError


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = torch.nn.Linear(2, 2)
        self.mlp = torch.nn.Linear(2, 2, bias=False)


class Decoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = torch.nn.Embedding(3, 2)
        self.layers = torch.nn.ModuleList(Layer() for _ in range(2))
        self.norm = torch.nn.LayerNorm(2)
        self.lm_head = torch.nn.Linear(2, 3, bias=False)


def test_each_layer_learns_more_slowly_than_the_one_above_it():
    groups = parameter_groups(Decoder(), 0.1, lr=1.0, layer_lr_decay=0.5)
    rates = {name: group.get("lr", 1.0) for group in groups for name in group["param_names"]}
    assert rates["lm_head.weight"] == rates["norm.weight"] == 1.0
    assert rates["layers.1.mlp.weight"] == rates["layers.1.attn.bias"] == 0.5
    assert rates["layers.0.mlp.weight"] == 0.25
    assert rates["embed_tokens.weight"] == 0.125


def test_the_first_entry_that_fits_decides_and_its_options_win():
    rules = [
        ParamGroupRef(modules="layers.0", lr_scale=0.1),
        ParamGroupRef(modules=["*.mlp.*"], kwargs={"weight_decay": 0.7}),
    ]
    groups = parameter_groups(Decoder(), 0.1, lr=1.0, rules=rules)
    found = {name: (group.get("lr", 1.0), group["weight_decay"]) for group in groups for name in group["param_names"]}
    assert found["layers.0.mlp.weight"] == (0.1, 0.1)
    assert found["layers.0.attn.bias"] == (0.1, 0.0)
    assert found["layers.1.mlp.weight"] == (1.0, 0.7)
    assert found["layers.1.attn.weight"] == (1.0, 0.1)


def test_every_trained_parameter_is_in_one_group():
    rules = [ParamGroupRef(modules="mlp"), ParamGroupRef(modules="attn", lr_scale=0.0)]
    model = Decoder()
    names = [
        name
        for group in parameter_groups(model, 0.1, lr=1.0, rules=rules, layer_lr_decay=0.9)
        for name in group["param_names"]
    ]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())


def test_groups_of_the_run_file_reach_the_optimizer(make_plan):
    plan = make_plan(
        "learning_rate: 0.01\nparam_groups: [{modules: lm_head, lr_scale: 0.5, kwargs: {weight_decay: 0.3}}]"
    )
    groups = build_optimizer(plan, Decoder()).param_groups
    (head,) = (group for group in groups if group["param_names"] == ["lm_head.weight"])
    assert (head["lr"], head["weight_decay"]) == (0.005, 0.3)
    assert {group["lr"] for group in groups if group is not head} == {0.01}


def test_an_entry_that_fits_nothing_is_an_error_at_its_place(make_plan):
    with pytest.raises(SwiftError, match=r"train.param_groups.0 fits no trained parameter: q_prj") as raised:
        build_optimizer(make_plan("param_groups: [{modules: q_prj}]"), Decoder())
    (problem,) = raised.value.problems
    assert "q_prj" in problem.place.text
