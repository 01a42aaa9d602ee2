import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.schedule_free_radam import ScheduleFreeRAdamReference
from tests.reference.trajectory import apply, assert_follows, gradients, parameter, reload

from swift_optim_zoo.schedule_free_radam import ScheduleFreeRAdam, rectification

OPTIONS = {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1, "r": 1.0, "weight_lr_power": 2.0}


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(5,), (3, 4), (2, 3, 2)]),
    lr=st.floats(1e-4, 1e-1),
    betas=st.tuples(st.floats(0.1, 0.95), st.floats(0.61, 0.999)),
    weight_decay=st.sampled_from([0.0, 0.1]),
    r=st.sampled_from([0.0, 1.5]),
    weight_lr_power=st.sampled_from([0.0, 2.0]),
    silent_sgd_phase=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(shape, seed, **options):
    options["eps"] = 1e-8
    assert_follows(
        lambda p: ScheduleFreeRAdam([p], **options),
        lambda w: ScheduleFreeRAdamReference(w, **options),
        shape,
        num_steps=12,
        seed=seed,
    )


def test_z_moves_as_the_rectified_adam_of_torch_without_its_momentum():
    param, other = parameter((4,)), parameter((4,))
    optimizer = ScheduleFreeRAdam([param], lr=1e-2, eps=1e-15)
    expected = torch.optim.RAdam([other], lr=1e-2, betas=(0.0, 0.999), eps=1e-15)
    for step, grad in enumerate(gradients((4,), 12)):
        before = other.detach().clone()
        start = optimizer.state[param]["z"].clone() if step else None
        apply(expected, other, [grad])
        apply(optimizer, param, [grad])
        if step > 5:  # theirs takes a step of gradient descent more
            moved = optimizer.state[param]["z"] - start
            torch.testing.assert_close(moved, other.detach() - before, rtol=1e-9, atol=1e-14)


def test_the_first_four_steps_only_measure():
    param = parameter((4,))
    start = param.detach().clone()
    optimizer = ScheduleFreeRAdam([param], **OPTIONS)
    grads = gradients((4,), 5)
    apply(optimizer, param, grads[:4])
    assert torch.equal(param, start)
    expected = sum(0.01 * 0.99 ** (3 - step) * grad**2 for step, grad in enumerate(grads[:4]))
    torch.testing.assert_close(optimizer.state[param]["exp_avg_sq"], expected)
    apply(optimizer, param, grads[4:])
    assert (param != start).all()


def test_without_silence_the_first_steps_are_those_of_gradient_descent():
    param = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = ScheduleFreeRAdam([param], lr=1.0, betas=(0.5, 0.999), silent_sgd_phase=False)
    gradient = torch.ones(1, dtype=torch.float64)
    apply(optimizer, param, [gradient, gradient])  # z is -1, then -2; x is -1, then -1.5; y lies between them
    assert param.item() == -1.75


def test_the_share_of_the_rate_grows_from_the_fifth_step_to_one():
    shares = [rectification(step, 0.999) for step in (*range(1, 50_000, 7), 4, 5)]
    assert shares[-2] == 0.0 < shares[-1] < 0.03
    assert shares[:-2] == sorted(shares[:-2])
    assert shares[-3] == pytest.approx(1.0)


def test_eval_puts_the_average_into_the_weights_and_train_takes_it_out():
    param = parameter((4,))
    optimizer = ScheduleFreeRAdam([param], **OPTIONS)
    reference = ScheduleFreeRAdamReference(param.detach().numpy().copy(), **OPTIONS, silent_sgd_phase=True)
    for grad in gradients((4,), 9):
        optimizer.train()
        apply(optimizer, param, [grad])
        reference.step(grad.numpy())
        np.testing.assert_allclose(param.detach().numpy(), reference.weight, rtol=1e-9)
        optimizer.eval()
        np.testing.assert_allclose(param.detach().numpy(), reference.average, rtol=1e-9)


def test_a_step_on_the_average_is_refused():
    param = parameter((4,))
    optimizer = ScheduleFreeRAdam([param])
    optimizer.eval()
    with pytest.raises(RuntimeError, match=r"^schedule_free_radam: step\(\) after eval\(\); call train\(\)"):
        apply(optimizer, param, gradients((4,), 1))


@pytest.mark.parametrize("stop", [2, 4, 7])
def test_a_state_saved_in_evaluation_is_loaded_in_evaluation_and_goes_on(stop):
    param, straight = parameter((4,)), parameter((4,))
    grads = gradients((4,), 10)
    apply(ScheduleFreeRAdam([straight], **OPTIONS), straight, grads)
    optimizer = ScheduleFreeRAdam([param], **OPTIONS)
    apply(optimizer, param, grads[:stop])
    optimizer.eval()
    resumed = torch.nn.Parameter(param.detach().clone())
    other = ScheduleFreeRAdam([resumed], **OPTIONS)
    other.load_state_dict(reload(optimizer.state_dict()))
    other.train()
    apply(other, resumed, grads[stop:])
    torch.testing.assert_close(resumed, straight, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"betas": (0.0, 0.9)}, r"^beta1 must be > 0, got 0.0$"),
        ({"betas": (0.9, 0.6)}, r"^beta2 must be > 0.6 with silent_sgd_phase, got 0.6$"),
        ({"r": -1.0}, r"^r must be >= 0, got -1.0$"),
        ({"weight_lr_power": -1.0}, r"^weight_lr_power must be >= 0, got -1.0$"),
    ],
)
def test_refuses_an_option_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        ScheduleFreeRAdam([parameter((3,))], **options)
