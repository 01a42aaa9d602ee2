import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.schedule_free_sgd import ScheduleFreeSGDReference
from tests.reference.trajectory import apply, assert_follows, gradients, parameter, reload

from swift_optim_zoo.schedule_free_sgd import ScheduleFreeSGD

OPTIONS = {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.1, "r": 1.0, "weight_lr_power": 2.0}


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(5,), (3, 4), (2, 3, 2)]),
    lr=st.floats(1e-3, 1.0),
    momentum=st.floats(0.1, 0.95),
    weight_decay=st.sampled_from([0.0, 0.1]),
    r=st.sampled_from([0.0, 1.5]),
    weight_lr_power=st.sampled_from([0.0, 2.0]),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(shape, seed, **options):
    assert_follows(
        lambda p: ScheduleFreeSGD([p], **options), lambda w: ScheduleFreeSGDReference(w, **options), shape, seed=seed
    )


def test_two_steps_from_zero_are_those_worked_out_by_hand():
    param = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = ScheduleFreeSGD([param], momentum=0.5)
    gradient = torch.ones(1, dtype=torch.float64)
    apply(optimizer, param, [gradient, gradient])  # z is -1, then -2; x is -1, then -1.5; y lies between them
    assert param.item() == -1.75
    optimizer.eval()
    assert param.item() == -1.5


@pytest.mark.parametrize("warmup_steps", [0, 5])
def test_follows_the_reference_through_a_warm_up(warmup_steps):
    param = parameter((4,))
    optimizer = ScheduleFreeSGD([param], **OPTIONS, warmup_steps=warmup_steps)
    reference = ScheduleFreeSGDReference(param.detach().numpy().copy(), **OPTIONS)
    for step, grad in enumerate(gradients((4,), 8)):
        reference.lr = OPTIONS["lr"] * min(step + 1, 5) / 5
        optimizer.param_groups[0]["lr"] = OPTIONS["lr"] if warmup_steps else reference.lr
        apply(optimizer, param, [grad])
        reference.step(grad.numpy())
    np.testing.assert_allclose(param.detach().numpy(), reference.weight, rtol=1e-9)


def test_eval_puts_the_average_into_the_weights_and_train_takes_it_out():
    param = parameter((4,))
    optimizer = ScheduleFreeSGD([param], **OPTIONS)
    reference = ScheduleFreeSGDReference(param.detach().numpy().copy(), **OPTIONS)
    for grad in gradients((4,), 5):
        optimizer.train()
        apply(optimizer, param, [grad])
        reference.step(grad.numpy())
        np.testing.assert_allclose(param.detach().numpy(), reference.weight, rtol=1e-9)
        optimizer.eval()
        np.testing.assert_allclose(param.detach().numpy(), reference.average, rtol=1e-9)


def test_a_step_on_the_average_is_refused():
    param = parameter((4,))
    optimizer = ScheduleFreeSGD([param])
    optimizer.eval()
    with pytest.raises(RuntimeError, match=r"^schedule_free_sgd: step\(\) after eval\(\); call train\(\)"):
        apply(optimizer, param, gradients((4,), 1))


def test_a_state_saved_in_evaluation_is_loaded_in_evaluation_and_goes_on():
    param, straight = parameter((4,)), parameter((4,))
    grads = gradients((4,), 8)
    apply(ScheduleFreeSGD([straight], **OPTIONS), straight, grads)
    optimizer = ScheduleFreeSGD([param], **OPTIONS)
    apply(optimizer, param, grads[:4])
    optimizer.eval()
    resumed = torch.nn.Parameter(param.detach().clone())
    other = ScheduleFreeSGD([resumed], **OPTIONS)
    other.load_state_dict(reload(optimizer.state_dict()))
    other.train()
    apply(other, resumed, grads[4:])
    torch.testing.assert_close(resumed, straight, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 0.0}, r"^momentum must be > 0, got 0.0$"),
        ({"momentum": 1.0}, r"^momentum must be in \[0, 1\), got 1.0$"),
        ({"r": -1.0}, r"^r must be >= 0, got -1.0$"),
        ({"weight_lr_power": -1.0}, r"^weight_lr_power must be >= 0, got -1.0$"),
        ({"warmup_steps": 1.5}, r"^warmup_steps must be an integer >= 0, got 1.5$"),
    ],
)
def test_refuses_an_option_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        ScheduleFreeSGD([parameter((3,))], **options)
