import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from swift_core.builtins.schedulers import Constant, Cosine, Linear, Rex


def rates(make, num_steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5)
    schedule = make(optimizer)
    seen = []
    for _ in range(num_steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


THEIRS = {
    Linear: transformers.get_linear_schedule_with_warmup,
    Cosine: transformers.get_cosine_schedule_with_warmup,
    Constant: lambda optimizer, warmup, total: transformers.get_constant_schedule_with_warmup(optimizer, warmup),
}


@pytest.mark.parametrize("schedule", THEIRS)
@given(warmup=st.integers(0, 12), decay=st.integers(1, 30))
@settings(max_examples=20, deadline=None)
def test_it_is_what_transformers_computes(schedule, warmup, decay):
    total = warmup + decay
    ours = rates(lambda o: schedule()(o, num_warmup_steps=warmup, num_training_steps=total), total)
    theirs = rates(lambda o: THEIRS[schedule](o, warmup, total), total)
    assert ours == pytest.approx(theirs, abs=1e-12)


def test_cosine_ends_at_its_floor():
    cosine = Cosine(min_lr_ratio=0.1)
    seen = rates(lambda o: cosine(o, num_warmup_steps=2, num_training_steps=10), 13)
    assert seen[10:] == pytest.approx([0.05] * 3)
    assert seen[6] == pytest.approx(0.5 * (0.1 + 0.9 / 2))


def test_a_floor_above_one_is_refused():
    with pytest.raises(ValueError, match=r"^min_lr_ratio must be in \[0, 1\], got 1\.5$"):
        Cosine(min_lr_ratio=1.5)


def test_a_schedule_goes_on_where_its_state_was_saved():
    def make(optimizer):
        return Cosine()(optimizer, num_warmup_steps=2, num_training_steps=9)

    first, second = (torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5) for _ in range(2))
    saved = make(first)
    for _ in range(4):
        first.step()
        saved.step()
    resumed = make(second)
    resumed.load_state_dict(saved.state_dict())
    second.step(), resumed.step(), first.step(), saved.step()
    assert resumed.get_last_lr() == saved.get_last_lr()


@pytest.mark.parametrize("floor", [0.0, 0.2])
def test_rex_is_its_formula(floor):
    rex = Rex(min_lr_ratio=floor)
    seen = rates(lambda o: rex(o, num_warmup_steps=3, num_training_steps=13), 15)
    falling = [(1 - z / 10) / (0.5 + 0.5 * (1 - z / 10)) for z in range(11)]
    assert seen[:3] == pytest.approx([0.0, 0.5 / 3, 1.0 / 3])
    assert seen[3:14] == pytest.approx([0.5 * (floor + (1 - floor) * share) for share in falling])
    assert seen[14] == pytest.approx(0.5 * floor)


def test_rex_refuses_a_floor_above_the_peak():
    with pytest.raises(ValueError, match=r"^min_lr_ratio must be in \[0, 1\], got 1.5$"):
        Rex(min_lr_ratio=1.5)
