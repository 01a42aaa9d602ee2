import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.schedule_free_adamw import ScheduleFreeReference
from tests.reference.trajectory import apply, assert_follows, gradients, parameter, reload

from swift_optim_zoo.schedule_free_adamw import ScheduleFreeAdamW

OPTIONS = {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1, "r": 1.0, "weight_lr_power": 2.0}


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(5,), (3, 4)]),
    lr=st.floats(1e-4, 1e-1),
    betas=st.tuples(st.floats(0.1, 0.95), st.floats(0.5, 0.999)),
    weight_decay=st.sampled_from([0.0, 0.1]),
    r=st.sampled_from([0.0, 1.5]),
    weight_lr_power=st.sampled_from([0.0, 2.0]),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(shape, seed, **options):
    options["eps"] = 1e-8
    assert_follows(
        lambda p: ScheduleFreeAdamW([p], **options), lambda w: ScheduleFreeReference(w, **options), shape, seed=seed
    )


@pytest.mark.parametrize("warmup_steps", [0, 5])
def test_follows_the_reference_through_a_warm_up(warmup_steps):
    param = parameter((4,))
    optimizer = ScheduleFreeAdamW([param], **OPTIONS, warmup_steps=warmup_steps)
    reference = ScheduleFreeReference(param.detach().numpy().copy(), **OPTIONS)
    for step, grad in enumerate(gradients((4,), 8)):
        reference.lr = 1e-2 * min(step + 1, 5) / 5
        optimizer.param_groups[0]["lr"] = 1e-2 if warmup_steps else reference.lr
        apply(optimizer, param, [grad])
        reference.step(grad.numpy())
    np.testing.assert_allclose(param.detach().numpy(), reference.weight, rtol=1e-9)


def test_eval_puts_the_average_into_the_weights_and_train_takes_it_out():
    param = parameter((4,))
    optimizer = ScheduleFreeAdamW([param], **OPTIONS)
    reference = ScheduleFreeReference(param.detach().numpy().copy(), **OPTIONS)
    for grad in gradients((4,), 5):
        apply(optimizer, param, [grad])
        reference.step(grad.numpy())
    optimizer.eval()
    optimizer.eval()
    np.testing.assert_allclose(param.detach().numpy(), reference.average, rtol=1e-9)
    optimizer.train()
    optimizer.train()
    np.testing.assert_allclose(param.detach().numpy(), reference.weight, rtol=1e-9)


def test_a_step_on_the_average_is_refused():
    param = parameter((4,))
    optimizer = ScheduleFreeAdamW([param])
    optimizer.eval()
    with pytest.raises(RuntimeError, match=r"step\(\) after eval\(\); call train\(\)"):
        apply(optimizer, param, gradients((4,), 1))


def test_a_state_saved_in_evaluation_is_loaded_in_evaluation():
    param = parameter((4,))
    optimizer = ScheduleFreeAdamW([param], **OPTIONS)
    apply(optimizer, param, gradients((4,), 4))
    expected = param.detach().clone()
    optimizer.eval()
    resumed = torch.nn.Parameter(param.detach().clone())
    other = ScheduleFreeAdamW([resumed], **OPTIONS)
    other.load_state_dict(reload(optimizer.state_dict()))
    other.train()
    torch.testing.assert_close(resumed.detach(), expected, rtol=1e-12, atol=1e-14)


def test_steps_of_rate_zero_before_a_warm_up_leave_no_trace():
    first, second = parameter((4,)), parameter((4,))
    grads = gradients((4,), 3)
    warmed, plain = ScheduleFreeAdamW([first], **OPTIONS), ScheduleFreeAdamW([second], **OPTIONS)
    warmed.param_groups[0]["lr"] = 0.0
    apply(warmed, first, [torch.zeros(4, dtype=torch.float64)])
    assert torch.equal(first, second)
    warmed.param_groups[0]["lr"] = 1e-2
    apply(warmed, first, grads)
    apply(plain, second, grads)
    assert torch.isfinite(first).all()
    assert warmed.param_groups[0]["share"] == pytest.approx(4 / 9)  # r is 1: weights 2, 3, 4


def test_refuses_beta1_zero():
    with pytest.raises(ValueError, match=r"^beta1 must be > 0, got 0.0$"):
        ScheduleFreeAdamW([parameter((3,))], betas=(0.0, 0.9))
