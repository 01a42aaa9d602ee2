import math

import pytest
import torch

from swift_optim_zoo.wsd import WarmupStableDecay


def rates(schedule, num_steps, num_warmup_steps=0):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = schedule(optimizer, num_warmup_steps=num_warmup_steps, num_training_steps=num_steps)
    seen = []
    for _ in range(num_steps + 1):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_warms_up_stays_and_falls():
    seen = rates(WarmupStableDecay(decay_ratio=0.5), 10, num_warmup_steps=2)
    assert seen == pytest.approx([0, 0.5, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0])


@pytest.mark.parametrize(("decay_type", "halfway"), [("linear", 0.5), ("cosine", 0.5), ("sqrt", 1 - math.sqrt(0.5))])
def test_falls_in_the_shape_that_was_asked_for(decay_type, halfway):
    seen = rates(WarmupStableDecay(decay_ratio=0.4, decay_type=decay_type, min_lr_ratio=0.2), 10)
    assert seen[6] == pytest.approx(1)
    assert seen[8] == pytest.approx(0.2 + 0.8 * halfway)
    assert seen[10] == pytest.approx(0.2)


def test_a_cosine_fall_is_steepest_in_its_middle():
    seen = rates(WarmupStableDecay(decay_ratio=1.0, decay_type="cosine"), 8)
    assert seen[1] - seen[0] > seen[4] - seen[3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay_ratio": 0.0}, r"decay_ratio must be in \(0, 1\], got 0.0"),
        ({"min_lr_ratio": 1.5}, r"min_lr_ratio must be in \[0, 1\], got 1.5"),
        ({"decay_type": "steps"}, "decay_type must be one of linear, cosine, sqrt, got steps"),
    ],
)
def test_refuses_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        WarmupStableDecay(**options)
