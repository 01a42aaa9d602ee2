import dataclasses

import pytest
import torch

from swift_core.assemble.callbacks import build_callbacks
from swift_core.assemble.optimizer import build_optimizer, build_scheduler
from swift_core.assemble.param_groups import parameter_groups
from swift_core.assemble.tuner import apply_tuner
from swift_core.errors import SwiftError


def small_model():
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2), torch.nn.Linear(2, 1, bias=False))


def with_target(plan, target):
    """Return `plan` with an optimizer plugin that is `target`."""
    return dataclasses.replace(plan, load=lambda part: target)


def test_biases_and_norms_do_not_decay():
    matrices, vectors = parameter_groups(small_model(), 0.1)
    assert matrices["param_names"] == ["0.weight", "2.weight"]
    assert vectors["param_names"] == ["0.bias", "1.weight", "1.bias"]
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.1, 0.0)


def test_frozen_parameters_and_empty_groups_are_left_out():
    model = small_model()
    model[0].requires_grad_(False)
    model[1].requires_grad_(False)
    (only,) = parameter_groups(model, 0.1)
    assert only["param_names"] == ["2.weight"]


def test_the_optimizer_has_the_options_of_the_run(make_plan):
    plan = make_plan("learning_rate: 0.01\nweight_decay: 0.2\nadam_beta2: 0.95")
    first, second = build_optimizer(plan, small_model()).param_groups
    assert (first["lr"], first["betas"], first["weight_decay"]) == (0.01, (0.9, 0.95), 0.2)
    assert second["weight_decay"] == 0.0


def test_decay_in_the_optimizers_options_reaches_the_groups(make_plan):
    plan = make_plan("optimizer_kwargs: {weight_decay: 0.3}")
    assert [group["weight_decay"] for group in build_optimizer(plan, small_model()).param_groups] == [0.3, 0.0]


def test_a_refused_option_is_an_error_at_its_place(make_plan):
    with pytest.raises(SwiftError) as raised:
        build_optimizer(make_plan("optimizer_kwargs: {eps: 0.0}"), small_model())
    (problem,) = raised.value.problems
    assert "eps must be > 0, got 0.0" in problem.message
    assert problem.place is not None
    assert "optimizer_kwargs" in problem.place.text


def test_a_model_without_trained_parameters_is_refused(make_plan):
    with pytest.raises(SwiftError, match="left nothing of the model to train"):
        build_optimizer(make_plan(), small_model().requires_grad_(False))


def test_a_function_of_args_model_dataset_brings_its_own_schedule(make_plan):
    seen = []

    def both(args, model, dataset, *, lr=0.5):
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        seen.append((args.max_steps, dataset))
        return optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, 0.5)

    plan = with_target(make_plan(), both)
    plan = dataclasses.replace(plan, optimizer=dataclasses.replace(plan.optimizer, options={"lr": 0.25}))
    optimizer = build_optimizer(plan, small_model(), dataset=["rows"])
    schedule = build_scheduler(plan, optimizer, 0, 10)
    assert seen == [(2, ["rows"])]
    assert isinstance(schedule, torch.optim.lr_scheduler.ConstantLR)
    assert schedule.get_last_lr() == [0.125]


def test_such_a_function_without_a_schedule_gets_the_run_files(make_plan):
    plan = make_plan("lr_scheduler_type: constant")
    own = with_target(plan, lambda args, model, dataset: (torch.optim.SGD(model.parameters(), lr=0.5), None))
    own = dataclasses.replace(own, optimizer=dataclasses.replace(own.optimizer, options={}))
    schedule = build_scheduler(plan, build_optimizer(own, small_model()), 2, 10)
    assert schedule.get_last_lr() == [0.0]


def test_something_else_than_an_optimizer_is_refused(make_plan):
    with pytest.raises(
        SwiftError, match=r"optimizer 'adamw' of swift-core \S+ must return a torch\.optim\.Optimizer, got str"
    ):
        build_optimizer(with_target(make_plan(), lambda params, **options: "sgd"), small_model())


def test_a_callback_that_is_none_is_refused_with_its_wheel(make_plan):
    from transformers import TrainerCallback

    plan = make_plan()
    part = dataclasses.replace(plan.loss, kind="callback", key="train.callbacks.0")
    good, bad = TrainerCallback(), object()
    made = iter([good, bad])
    plan = dataclasses.replace(plan, callbacks=(part, part), create=lambda part: next(made))
    with pytest.raises(SwiftError, match=r"of swift-core .* must be a transformers\.TrainerCallback, got object"):
        build_callbacks(plan)
    assert build_callbacks(dataclasses.replace(plan, callbacks=(part,), create=lambda part: good)) == [good]


def test_a_tuner_that_cannot_work_on_the_model_is_an_error_of_the_run_file(make_plan, tiny_folder):
    from swift_core.assemble.model import Loading, load_weights

    plan = make_plan("tuner_kwargs: {target_modules: [no_such]}")
    with pytest.raises(SwiftError) as raised:
        apply_tuner(plan, plan.create(plan.tuner), load_weights(tiny_folder, Loading()))
    (problem,) = raised.value.problems
    assert "no_such" in problem.message
    assert "target_modules" in problem.place.text
