import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.optimization import GreedyLR
from transformers.trainer_utils import SchedulerType

from swift_core.builtins.greedy import Greedy
from swift_core.plugins.registry import installed

PEAK = 2e-4


def made(plugin, warmup=0):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=PEAK)
    return optimizer, plugin(optimizer, num_warmup_steps=warmup, num_training_steps=100)


def followed(options, figures, sign):
    optimizer, schedule = made(Greedy(greater_is_better=sign < 0, **options))
    rates = []
    for figure in figures:
        schedule.observe({"eval_loss": sign * figure})
        optimizer.step()
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def of_transformers(options, figures, sign):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=PEAK)
    bounds = {"min_lr": options.pop("min_lr_ratio") * PEAK, "max_lr": options.pop("max_lr_ratio") * PEAK}
    judge = GreedyLR(optimizer, mode="max" if sign < 0 else "min", smooth=True, eps=0.0, **bounds, **options)
    rates = []
    for figure in figures:
        judge.step(sign * figure)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


@given(
    figures=st.lists(st.integers(-4, 4), min_size=20, max_size=60),
    options=st.fixed_dictionaries(
        {
            "factor": st.sampled_from([0.5, 0.9]),
            "patience": st.integers(0, 2),
            "threshold": st.sampled_from([1e-6, 0.3]),
            "cooldown": st.integers(0, 2),
            "warmup": st.integers(0, 2),
            "window_size": st.integers(1, 4),
            "reset_start": st.integers(1, 3),
            "min_lr_ratio": st.sampled_from([0.2, 0.6]),
            "max_lr_ratio": st.sampled_from([1.5, 3.0]),
        }
    ),
    sign=st.sampled_from([1, -1]),
)
def test_it_moves_when_transformers_says_so(figures, options, sign):
    assert followed(options, figures, sign) == pytest.approx(of_transformers(dict(options), figures, sign), rel=1e-9)


def test_a_loss_that_keeps_falling_raises_the_rate_and_one_that_stays_lowers_it():
    options = {"factor": 0.5, "patience": 1}
    assert followed(options, [4.0, 3.0, 2.0, 1.0], 1) == [PEAK, 2 * PEAK, 2 * PEAK, 4 * PEAK]
    assert followed(options, [4.0, 4.0, 4.0, 4.0, 4.0], 1)[-1] == PEAK / 4


def test_it_goes_on_from_its_state():
    plugin = Greedy(patience=0, factor=0.5, window_size=2)
    (optimizer, whole), (other_optimizer, other) = made(plugin, 2), made(plugin, 2)
    for figure in (3.0, 2.0, 4.0):
        whole.observe({"eval_loss": figure})
        optimizer.step()
        whole.step()
    other.load_state_dict(whole.state_dict())
    for schedule, its in ((whole, optimizer), (other, other_optimizer)):
        schedule.observe({"eval_loss": 0.0})
        its.step()
        schedule.step()
    rates = [its.param_groups[0]["lr"] for its in (optimizer, other_optimizer)]
    assert rates[0] == rates[1] == pytest.approx(PEAK * 4)


def test_a_figure_that_is_not_measured_is_named():
    _, schedule = made(Greedy(metric="token_accuracy"))
    with pytest.raises(ValueError, match=r"^it watches eval_token_accuracy, and an evaluation gives eval_loss$"):
        schedule.observe({"eval_loss": 1.0})


@pytest.mark.parametrize(
    "options",
    [{"factor": 1.0}, {"patience": -1}, {"threshold": -1.0}, {"min_lr_ratio": 2.0}, {"max_lr_ratio": 0.5},
     {"max_lr_ratio": math.inf}, {"window_size": 0}, {"reset_start": 0}, {"cooldown": -1}, {"warmup": -1}],
)  # fmt: skip
def test_wrong_options_are_refused(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"^{name} must be "):
        Greedy(**options)


def test_every_schedule_of_transformers_has_its_name_here():
    assert {kind.value for kind in SchedulerType} <= {spec.name for spec in installed().specs("scheduler")}
