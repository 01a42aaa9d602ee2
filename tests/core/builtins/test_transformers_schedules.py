import math
import re

import pytest
import torch

from swift_core.builtins.transformers_schedules import (
    CosineWarmupWithMinLr,
    CosineWithMinLr,
    InverseSqrt,
    Polynomial,
    WarmupStableDecay,
)

PEAK, WARMUP, TOTAL = 0.5, 4, 24


def rates(schedule, warmup=WARMUP):
    """Return the learning rate of every step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=PEAK)
    built = schedule(optimizer, num_warmup_steps=warmup, num_training_steps=TOTAL)
    seen = []
    for _ in range(TOTAL + 1):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        built.step()
    return seen


def written_out(after, warmup=WARMUP):
    """Return a straight warm-up, then `after` of the step and the share that is done."""
    rise = [PEAK * step / warmup for step in range(warmup)]
    return rise + [after(step, (step - warmup) / (TOTAL - warmup)) for step in range(warmup, TOTAL + 1)]


@pytest.mark.parametrize(("lr_end", "power"), [(1e-7, 1.0), (0.1, 2.0), (0.0, 0.5)])
@pytest.mark.parametrize("warmup", [0, WARMUP])
def test_polynomial_is_its_formula(lr_end, power, warmup):
    expected = written_out(lambda step, x: lr_end + (PEAK - lr_end) * (1 - x) ** power, warmup)
    assert rates(Polynomial(lr_end=lr_end, power=power), warmup) == pytest.approx(expected)


@pytest.mark.parametrize(("timescale", "warmup", "meant"), [(0, WARMUP, WARMUP), (0, 0, 10_000), (9, WARMUP, 9)])
def test_inverse_sqrt_is_its_formula(timescale, warmup, meant):
    expected = written_out(lambda step, x: PEAK * math.sqrt(meant / (step - warmup + meant)), warmup)
    assert rates(InverseSqrt(timescale=timescale), warmup) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("options", "floor", "waves"),
    [({}, 0.0, 0.5), ({"min_lr": 0.1}, 0.1, 0.5), ({"min_lr_rate": 0.1, "num_cycles": 1.5}, 0.05, 1.5)],
)
def test_cosine_with_min_lr_is_its_formula(options, floor, waves):
    expected = written_out(lambda step, x: floor + (PEAK - floor) * (1 + math.cos(2 * math.pi * waves * x)) / 2)
    assert rates(CosineWithMinLr(**options)) == pytest.approx(expected)


SHAPES = {
    "linear": lambda y: 1 - y,
    "cosine": lambda y: (1 + math.cos(math.pi * y)) / 2,
    "1-sqrt": lambda y: 1 - math.sqrt(y),
}


@pytest.mark.parametrize("decay_type", SHAPES)
@pytest.mark.parametrize(("num_decay_steps", "meant"), [(8, 8), (0, 2), (20, 20)])
def test_warmup_stable_decay_is_its_formula(decay_type, num_decay_steps, meant):
    def after(step, x):
        y = max(step - (TOTAL - meant), 0) / meant
        return PEAK * (0.2 + 0.8 * SHAPES[decay_type](y))

    schedule = WarmupStableDecay(num_decay_steps=num_decay_steps, decay_type=decay_type, min_lr_ratio=0.2)
    assert rates(schedule)[WARMUP:] == pytest.approx(written_out(after)[WARMUP:])


@pytest.mark.parametrize(
    ("warmup_type", "half_way"), [("linear", 0.5), ("cosine", 0.5), ("1-sqrt", 1 - math.sqrt(0.5))]
)
def test_the_rise_of_warmup_stable_decay_starts_at_its_floor(warmup_type, half_way):
    seen = rates(WarmupStableDecay(warmup_type=warmup_type, min_lr_ratio=0.2))
    assert seen[0] == pytest.approx(0.2 * PEAK)
    assert seen[WARMUP // 2] == pytest.approx(PEAK * (0.2 + 0.8 * half_way))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Polynomial(power=0.0), "power must be > 0, got 0.0"),
        (lambda: Polynomial(lr_end=-1.0), "lr_end must be >= 0, got -1.0"),
        (lambda: rates(Polynomial(lr_end=0.5)), "lr_end (0.5) must be smaller than initial lr (0.5)"),
        (lambda: InverseSqrt(timescale=-1), "timescale must be >= 0, got -1"),
        (lambda: CosineWithMinLr(min_lr_rate=1.1), "min_lr_rate must be in [0, 1], got 1.1"),
        (
            lambda: CosineWithMinLr(min_lr=0.1, min_lr_rate=0.1),
            "min_lr and min_lr_rate both set the floor; give one",
        ),
        (lambda: rates(CosineWithMinLr(min_lr=0.6)), "min_lr must be <= the peak 0.5, got 0.6"),
        (lambda: WarmupStableDecay(min_lr_ratio=-0.1), "min_lr_ratio must be in [0, 1], got -0.1"),
        (
            lambda: rates(WarmupStableDecay(num_decay_steps=21)),
            "4 steps of warm-up and num_decay_steps 21 do not fit into 24 steps",
        ),
    ],
)
def test_options_that_make_no_schedule_are_refused(make, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()


@pytest.mark.parametrize(("rate", "start"), [(0.0, 1 / WARMUP), (0.2, 0.2)])
def test_cosine_warmup_with_min_lr_begins_at_a_share_of_the_peak(rate, start):
    seen = rates(CosineWarmupWithMinLr(min_lr_rate=0.1, warmup_lr_rate=rate))
    steps = range(1, TOTAL - WARMUP + 1)  # it is one step ahead of the others
    fall = [PEAK * (0.1 + 0.9 * (1 + math.cos(math.pi * step / len(steps))) / 2) for step in steps]
    rise = [PEAK * (start + (1 - start) * step / (WARMUP - 1)) for step in range(WARMUP)]
    assert seen[:WARMUP] == pytest.approx(rise)
    assert seen[WARMUP:-1] == pytest.approx(fall)
