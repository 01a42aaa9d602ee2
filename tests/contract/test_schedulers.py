"""Schedules: from nothing to the peak over the warm-up, never below zero, and resumable."""

from __future__ import annotations

import math

import pytest
import torch

KIND = "scheduler"
PEAK, NUM_WARMUP_STEPS, NUM_TRAINING_STEPS = 0.5, 4, 20


def make(plugin):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=PEAK)
    return optimizer, plugin(optimizer, num_warmup_steps=NUM_WARMUP_STEPS, num_training_steps=NUM_TRAINING_STEPS)


def rates(optimizer, scheduler, num_steps: int) -> list[float]:
    seen = []
    for _ in range(num_steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_it_warms_up_to_the_peak_and_stays_within_it(spec, plugin):
    seen = rates(*make(plugin), NUM_TRAINING_STEPS)
    assert max(seen[: NUM_WARMUP_STEPS + 1]) == pytest.approx(PEAK)
    assert seen[:NUM_WARMUP_STEPS] == sorted(seen[:NUM_WARMUP_STEPS])
    assert all(0 <= rate <= PEAK + 1e-9 and math.isfinite(rate) for rate in seen)


def test_steps_beyond_the_last_are_harmless(spec, plugin):
    seen = rates(*make(plugin), NUM_TRAINING_STEPS + 5)
    assert all(0 <= rate <= PEAK + 1e-9 for rate in seen)


def test_it_goes_on_from_its_state_as_if_it_had_never_stopped(spec, plugin):
    whole = rates(*make(plugin), 12)
    optimizer, scheduler = make(plugin)
    rates(optimizer, scheduler, 6)
    other_optimizer, other = make(plugin)
    other_optimizer.load_state_dict(optimizer.state_dict())
    other.load_state_dict(scheduler.state_dict())
    assert rates(other_optimizer, other, 6) == pytest.approx(whole[6:])
