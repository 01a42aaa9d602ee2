import math

import pytest
import torch

from swift_optim_zoo.cosine_with_restarts import CosineWithRestarts, restarting_cosine


def test_falls_and_starts_again():
    seen = [restarting_cosine(2, 0.0, 1.0, step / 8) for step in range(9)]
    half = (1 + math.cos(math.pi / 4)) / 2
    assert seen == pytest.approx([1, half, 0.5, 1 - half, 1, half, 0.5, 1 - half, 0])


def test_ends_on_the_floor_and_each_cycle_is_lower():
    seen = [restarting_cosine(2, 0.1, 0.5, step / 4) for step in range(5)]
    assert seen == pytest.approx([1.0, 0.55, 0.55, 0.325, 0.1])


def test_one_cycle_is_the_cosine_of_torch():
    optimizers = [torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.3) for _ in range(2)]
    ours = CosineWithRestarts(num_cycles=1)(optimizers[0], num_warmup_steps=0, num_training_steps=12)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizers[1], T_max=12)
    for _ in range(12):
        for optimizer, scheduler in zip(optimizers, (ours, theirs), strict=True):
            optimizer.step()
            scheduler.step()
        assert optimizers[0].param_groups[0]["lr"] == pytest.approx(optimizers[1].param_groups[0]["lr"])


def test_warms_up_before_the_first_cycle():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = CosineWithRestarts()(optimizer, num_warmup_steps=4, num_training_steps=12)
    seen = []
    for _ in range(9):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert seen[:5] == [0, 0.25, 0.5, 0.75, 1]
    assert seen[8] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_cycles": 0}, "num_cycles must be an integer >= 1, got 0"),
        ({"min_lr_ratio": -0.5}, r"min_lr_ratio must be in \[0, 1\], got -0.5"),
        ({"cycle_decay": 0.0}, r"cycle_decay must be in \(0, 1\], got 0.0"),
    ],
)
def test_refuses_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        CosineWithRestarts(**options)
