"""Names, groups and the backward update of optimizers in a run file."""

import pytest
import torch
from safetensors.torch import save_file
from transformers.training_args import OptimizerNames

from swift_core.cli.plan_facts import _dtype, _memory
from swift_core.resolve.model_facts import read_model
from swift_core.resolve.optimizer_names import OPTIMIZER_ALIASES, OPTIONS

RUN = """
model: {model_id: demo:tiny}
data: {dataset: demo:chat}
train:
  optimizer_type: NAME
"""


def run_file(name, *lines):
    return RUN.replace("NAME", name) + "".join(f"  {line}\n" for line in lines)


@pytest.mark.parametrize("name", [name.value for name in OptimizerNames])
def test_every_name_of_transformers_is_an_optimizer_here(name, plan_of):
    plan = plan_of(run_file(name, "max_grad_norm: 0"))
    assert plan.optimizer.plugin.name == OPTIMIZER_ALIASES.get(name, name)
    assert any(f"{name} means" in note for note in plan.notes) == (name in OPTIMIZER_ALIASES)


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_a_name_that_means_options_gives_them_unless_the_run_file_does(name, plan_of):
    plan = plan_of(run_file(name, "max_grad_norm: 0"))
    assert {key: plan.optimizer.options[key] for key in OPTIONS[name]} == OPTIONS[name]
    own = plan_of(run_file(name, "max_grad_norm: 0", "optimizer_kwargs: {moments: fp32}"))
    assert own.optimizer.options["moments"] == "fp32"


def test_an_alias_says_what_is_different(plan_of):
    notes = plan_of(run_file("galore_adamw_layerwise")).notes
    meant = "train.optimizer_type: galore_adamw_layerwise means galore_adamw; "
    assert f"{meant}set train.update_in_backward: true, which is what layerwise does" in notes


def test_updates_in_backward_refuse_what_needs_gradients_together(problems_of):
    lines = ("update_in_backward: true", "gradient_accumulation_steps: 2")
    messages = [problem.message for problem in problems_of(run_file("prodigy", *lines))]
    assert messages == [
        "train.update_in_backward: true updates one parameter at a time, "
        "and the optimizer 'prodigy' does not say that it can",
        "train.update_in_backward: true updates in the backward pass and frees the gradient: "
        "there is nothing to accumulate",
    ]
    (problem,) = problems_of(run_file("lomo", "gradient_accumulation_steps: 2"))
    assert problem.message.startswith("the optimizer 'lomo' updates in the backward pass")


def test_updates_in_backward_refuse_an_optimizer_that_clips_by_itself(problems_of):
    lines = ("update_in_backward: true", "optimizer_kwargs: {max_grad_norm: 0.5}")
    (problem,) = problems_of(run_file("native_adamw", *lines))
    assert problem.message == (
        "train.update_in_backward: true updates before the global norm is known "
        "that train.optimizer_kwargs.max_grad_norm clips by"
    )
    assert problem.next_step == "clip by train.max_grad_norm instead"


def test_clipping_with_an_update_in_backward_is_said_to_cost_a_pass(plan_of):
    text = "takes a second backward pass a step, which measures the norm before anything moves; 0 saves it"
    assert any(text in note for note in plan_of(run_file("adalomo")).notes)
    assert not any(text in note for note in plan_of(run_file("adalomo", "max_grad_norm: 0")).notes)


def test_options_of_a_group_are_checked_like_those_of_the_optimizer(problems_of):
    lines = (
        "param_groups:",
        "  - {modules: mlp, kwargs: {rnk: 8}}",
        "  - {modules: attn, lr_scale: 0.5, kwargs: {lr: 0.1}}",
    )
    first, second = problems_of(run_file("galore_adamw", *lines))
    assert "'rnk'" in first.message
    assert first.place.text.strip().startswith("- {modules: mlp")
    assert second.message == "train.param_groups.1 gives both lr_scale and lr"


def test_a_plan_counts_one_gradient_where_they_are_freed_in_the_backward_pass(plan_of, tmp_path):
    shapes = {"embed.weight": (50, 8), "layers.0.up.weight": (16, 8), "norm.weight": (8,)}
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    text = run_file("NAME", "tuner_strategy: full", "max_grad_norm: 0").replace("demo:tiny", str(tmp_path))
    facts = read_model(tmp_path)

    def memory(name, *overrides):
        plan = plan_of(text.replace("NAME", name), *overrides)
        return _memory(plan, facts, _dtype(plan, facts), facts.num_parameters, None)

    assert memory("adamw").gradients == 4 * 536
    assert memory("adamw", "train.update_in_backward=true").gradients == 4 * 400
    assert (memory("lomo").gradients, memory("lomo").optimizer) == (4 * 400, 0)
    assert memory("lion").optimizer == 4 * 536
