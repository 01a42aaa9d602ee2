import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from swift_core.builtins.plateau import ReduceLrOnPlateau

FIGURES = [3.0, 2.0, 2.5, 2.4, 2.1, 1.99, 1.99, 1.99, 1.99, 1.99, 1.0, 1.2, 1.2, 1.2, 1.2]


def made(plugin, warmup=0):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5)
    return optimizer, plugin(optimizer, num_warmup_steps=warmup, num_training_steps=100)


@pytest.mark.parametrize("sign", [1, -1])
def test_it_falls_when_torch_says_so(sign):
    options = {"factor": 0.3, "patience": 2, "threshold": 0.05}
    optimizer, schedule = made(ReduceLrOnPlateau(greater_is_better=sign < 0, min_lr_ratio=0.05, **options))
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5)
    mode = "max" if sign < 0 else "min"
    judge = ReduceLROnPlateau(theirs, mode=mode, threshold_mode="abs", min_lr=0.025, **options)
    seen, expected = [], []
    for figure in FIGURES:
        schedule.observe({"eval_loss": sign * figure})
        judge.step(sign * figure)
        optimizer.step()
        schedule.step()
        seen.append(optimizer.param_groups[0]["lr"])
        expected.append(theirs.param_groups[0]["lr"])
    assert seen == pytest.approx(expected)
    assert len(set(seen)) > 2


def test_it_goes_on_from_its_state():
    plugin = ReduceLrOnPlateau(patience=1)
    (optimizer, whole), (other_optimizer, other) = made(plugin, 2), made(plugin, 2)
    for figure in (1.0, 2.0, 2.0):
        whole.observe({"eval_loss": figure})
        optimizer.step()
        whole.step()
    other.load_state_dict(whole.state_dict())
    for schedule, its in ((whole, optimizer), (other, other_optimizer)):
        schedule.observe({"eval_loss": 2.0})
        its.step()
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == other_optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


def test_a_figure_that_is_not_measured_is_named():
    _, schedule = made(ReduceLrOnPlateau(metric="token_accuracy"))
    with pytest.raises(ValueError, match=r"^it watches eval_token_accuracy, and an evaluation gives eval_loss$"):
        schedule.observe({"eval_loss": 1.0})


@pytest.mark.parametrize("options", [{"factor": 1.0}, {"patience": -1}, {"threshold": -1.0}, {"min_lr_ratio": 2.0}])
def test_wrong_options_are_refused(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"^{name} must be "):
        ReduceLrOnPlateau(**options)
