import numpy as np
import pytest
import torch

from swift_core.builtins.callbacks.ema import EMA
from swift_core.errors import SwiftError


def train(run, weights):
    run.tell("on_train_begin")
    for weight in weights:
        run.step(weight)


def averaged(weights, decay, ramps_up):
    """Write the average out as one weighted sum over all steps, from 0 on."""
    keeps = [min(decay, (1 + t) / (10 + t)) if ramps_up else decay for t in range(1, len(weights) + 1)]
    return sum(w * (1 - k) * np.prod(keeps[i + 1 :]) for i, (w, k) in enumerate(zip(weights, keeps, strict=True)))


@pytest.mark.parametrize("decay", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("ramps_up", [True, False])
def test_the_final_weights_are_the_average_of_every_step(make_run, decay, ramps_up):
    weights = [1.0, -2.0, 3.5, 0.25, 8.0]
    run = make_run(EMA(decay=decay, ramps_up=ramps_up))
    train(run, weights)
    assert run.weight == 8.0
    run.tell("on_train_end")
    assert run.weight == pytest.approx(averaged(weights, decay, ramps_up), rel=1e-5)
    assert float(run.model["frozen"]) == 1.0


def test_a_value_by_hand(make_run):
    run = make_run(EMA(decay=0.5, ramps_up=False))
    train(run, [4.0, 8.0])
    run.tell("on_train_end")
    assert run.weight == 0.5 * (0.5 * 4.0) + 0.5 * 8.0


@pytest.mark.parametrize("event", ["on_step_end", "on_epoch_end"])
def test_an_evaluation_sees_the_average_and_training_gets_its_weights_back(make_run, event):
    run = make_run(EMA(decay=0.5, ramps_up=False))
    train(run, [4.0])
    run.control.should_evaluate = True
    if event == "on_step_end":
        run.step(8.0)
    else:
        run.tell(event)
    assert run.weight == (5.0 if event == "on_step_end" else 2.0)
    run.evaluate(eval_loss=1.0)
    assert run.weight == (8.0 if event == "on_step_end" else 4.0)


def test_small_steps_of_a_half_precision_weight_are_not_lost(make_run):
    run = make_run(EMA(decay=0.999, ramps_up=False))
    run.model["trained"] = torch.nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    train(run, [2.0] * 1000)
    run.tell("on_train_end")
    assert run.weight == pytest.approx(2 - 0.999**1000, abs=0.01)


def test_it_goes_on_from_a_checkpoint_as_if_it_had_never_stopped(make_run):
    weights = [1.0, -2.0, 3.5, 0.25]
    first = make_run(EMA(decay=0.9))
    train(first, weights[:2])
    first.save()
    second = make_run(EMA(decay=0.9))
    second.state.global_step = 2
    train(second, weights[2:])
    second.tell("on_train_end")
    assert second.weight == pytest.approx(averaged(weights, 0.9, True), rel=1e-5)


def test_a_checkpoint_without_an_average_is_told(make_run, capsys):
    run = make_run(EMA())
    run.state.global_step = 7
    run.tell("on_train_begin")
    assert "checkpoint-7 has no average" in capsys.readouterr().err


def test_an_optimizer_that_averages_itself_is_refused(make_run):
    run = make_run(EMA())
    run.optimizer.optimizer.eval = lambda: None
    with pytest.raises(SwiftError, match="this optimizer keeps an average of its own"):
        run.tell("on_train_begin")


@pytest.mark.parametrize("decay", [0.0, 1.0, float("nan")])
def test_a_decay_outside_its_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"^decay must be in \(0, 1\), got "):
        EMA(decay=decay)
