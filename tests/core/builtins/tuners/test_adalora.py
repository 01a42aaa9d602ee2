"""Ranks against the paper's own quantities, written out step by step in float64."""

import math
from types import SimpleNamespace

import pytest
import torch

from swift_core.builtins.tuners._ranks import Ranks
from swift_core.builtins.tuners.adalora import AdaLora
from swift_core.errors import SwiftError
from swift_core.train.penalty import add_penalty_

IDS = torch.tensor([[5, 6, 7, 8, 9, 10]])
STEPS = 12


@pytest.fixture
def model(tiny_folder):
    from swift_core.assemble.model import Loading, load_weights

    return load_weights(tiny_folder, Loading())


def singular_values(model):
    return {name: value for name, value in model.named_parameters() if ".lora_E." in name}


def steps(tuner, model, *, each=lambda step: None):
    """Train with the callback in its place; call `each(step)` between the gradients and the callback."""
    prepared = tuner.prepare_model(model)
    optimizer = torch.optim.Adam([value for value in prepared.parameters() if value.requires_grad], lr=0.02)
    (callback,) = tuner.callbacks()
    state, event = SimpleNamespace(max_steps=STEPS, global_step=0), {"model": prepared}
    callback.on_train_begin(SimpleNamespace(output_dir="."), state, None, **event)
    for step in range(STEPS):
        state.global_step = step
        prepared(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
        each(step)
        callback.on_optimizer_step(None, state, None, **event)
        optimizer.zero_grad()
    return prepared


def test_ranks_fall_along_the_cubic_curve_to_the_target(model):
    tuner, counts = AdaLora(init_r=6, target_r=2, tinit=2, tfinal=3, target_modules=["q_proj", "v_proj"]), []

    def count(_):
        if found := singular_values(model):
            counts.append(sum(int((value != 0).sum()) for value in found.values()))

    prepared = steps(tuner, model, each=count)
    num_modules = len(singular_values(prepared))
    budget = [
        int(num_modules * (2 + 4 * (1 - (step - 2) / (STEPS - 3 - 2)) ** 3)) if step < STEPS - 3 else 2 * num_modules
        for step in range(3, STEPS)
    ]
    present = [sum(int((value != 0).sum()) for value in singular_values(prepared).values())]
    assert present == [2 * num_modules]
    assert all(kept >= target for kept, target in zip(counts[4:], budget, strict=False))


def test_the_values_of_least_importance_are_taken_away(model):
    """The first allocation, with the averages of paper eq. 9 and 10 formed here from the same gradients."""
    tuner = AdaLora(init_r=4, target_r=1, tinit=0, tfinal=1, target_modules=["q_proj"], beta1=0.7, beta2=0.6)
    scores, prepared = {}, tuner.prepare_model(model)

    def judge(step):
        if step:
            return
        for name, value in prepared.named_parameters():
            if ".lora_" in name:
                sensitivity = (value.detach().double() * value.grad.double()).abs()
                mean = 0.3 * sensitivity
                scores[name] = mean * (0.4 * (sensitivity - mean).abs())

    optimizer = torch.optim.SGD([value for value in prepared.parameters() if value.requires_grad], lr=0.5)
    with torch.no_grad():
        for value in singular_values(prepared).values():
            value.normal_()
    (callback,) = tuner.callbacks()
    state = SimpleNamespace(max_steps=STEPS, global_step=0)
    callback.on_train_begin(SimpleNamespace(output_dir="."), state, None, model=prepared)
    prepared(input_ids=IDS, labels=IDS).loss.backward()
    optimizer.step()
    judge(0)
    callback.on_optimizer_step(None, state, None, model=prepared)

    triplets = {
        name: scores[name][:, 0]
        + scores[name.replace("lora_E", "lora_A")].mean(1)
        + scores[name.replace("lora_E", "lora_B")].mean(0)
        for name in singular_values(prepared)
    }
    joined = torch.cat(list(triplets.values()))
    num_kept = int(len(triplets) * (1 + 3 * (1 - 1 / (STEPS - 1)) ** 3))
    threshold = joined.sort(descending=True).values[num_kept - 1]
    for name, value in singular_values(prepared).items():
        assert ((value[:, 0] != 0) == (triplets[name] >= threshold)).all()


def test_the_penalty_is_the_mean_distance_from_orthogonal_and_its_gradient_is_added(model):
    tuner = AdaLora(orth_reg_weight=0.3, target_modules=["v_proj"])
    prepared = tuner.prepare_model(model)
    distances = []
    for name, value in prepared.named_parameters():
        if ".lora_A." in name or ".lora_B." in name:
            matrix = value.detach().double() if ".lora_A." in name else value.detach().double().T
            distances.append((matrix @ matrix.T - torch.eye(len(matrix))).square().sum().sqrt())
    assert float(tuner.penalty(prepared).detach()) == pytest.approx(
        0.3 * float(torch.stack(distances).mean()), rel=1e-5
    )
    trained = [value for value in prepared.parameters() if value.requires_grad]
    expected = torch.autograd.grad(tuner.penalty(prepared), trained, allow_unused=True)
    trained[0].grad = torch.ones_like(trained[0])
    add_penalty_(tuner, prepared)
    first = torch.ones_like(trained[0]) + (expected[0] if expected[0] is not None else 0)
    torch.testing.assert_close(trained[0].grad, first)
    for value, gradient in list(zip(trained, expected, strict=True))[1:]:
        assert (value.grad is None) if gradient is None else torch.equal(value.grad, gradient)


def test_a_step_that_was_left_out_does_not_enter_the_averages(model):
    tuner = AdaLora(target_modules=["v_proj"])
    prepared = tuner.prepare_model(model)
    for value in prepared.parameters():
        if value.requires_grad:
            value.grad = torch.full_like(value, math.nan)
    callback = Ranks(tuner.phases)
    state = SimpleNamespace(max_steps=STEPS, global_step=0)
    callback.on_train_begin(SimpleNamespace(output_dir="."), state, None, model=prepared)
    callback.on_optimizer_step(None, state, None, model=prepared)
    assert prepared.base_model.rankallocator.exp_avg_ipt == {}


def test_phases_that_leave_no_step_for_ranks_to_fall_are_refused_when_training_begins(model):
    tuner = AdaLora(tinit=8, tfinal=0.5, target_modules=["v_proj"])
    state = SimpleNamespace(max_steps=STEPS, global_step=0)
    with pytest.raises(SwiftError, match="tinit 8 and tfinal 6 leave no step of 12 for ranks to fall"):
        tuner.callbacks()[0].on_train_begin(None, state, None, model=tuner.prepare_model(model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init_r": 4, "target_r": 4}, r"^init_r must be above target_r 4, got 4$"),
        ({"beta1": 0.0}, r"^beta1 must be in \(0, 1\), got 0.0$"),
        ({"delta_t": 0}, r"^delta_t must be > 0, got 0$"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AdaLora(**options)
