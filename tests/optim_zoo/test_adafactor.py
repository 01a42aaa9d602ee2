import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.adafactor import AdafactorReference
from tests.reference.trajectory import apply, assert_follows, gradients, parameter
from transformers.optimization import Adafactor as TransformersAdafactor

from swift_optim_zoo.adafactor import Adafactor


@settings(max_examples=40, deadline=None)
@given(
    shape=st.sampled_from([(5,), (3, 4), (4, 2), (2, 3, 4)]),
    lr=st.floats(1e-4, 1e-1),
    clip_threshold=st.sampled_from([0.5, 1.0]),
    decay_rate=st.sampled_from([-0.8, -0.5]),
    beta1=st.sampled_from([0.0, 0.9]),
    weight_decay=st.sampled_from([0.0, 0.1]),
    scale_parameter=st.booleans(),
    step=st.sampled_from([{}, {"relative_step": True}, {"relative_step": True, "warmup_init": True}]),
    scaled_decay=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(shape, seed, step, **options):
    options |= {"relative_step": False} | step
    assert_follows(lambda p: Adafactor([p], **options), lambda w: AdafactorReference(w, **options), shape, seed=seed)


@pytest.mark.parametrize("shape", [(12, 8), (7,)])
def test_with_both_switches_it_is_adafactor_of_torch(shape):
    grads = gradients(shape, 10)
    ours, theirs = parameter(shape), parameter(shape)
    apply(Adafactor([ours], lr=1e-2, weight_decay=0.1, scale_parameter=True, relative_step=True), ours, grads)
    apply(torch.optim.Adafactor([theirs], lr=1e-2, weight_decay=0.1), theirs, grads)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_by_default_it_is_what_transformers_trains_with(beta1):
    grads = gradients((12, 8), 10)
    ours, theirs = parameter((12, 8)), parameter((12, 8))
    apply(Adafactor([ours], lr=1e-2, weight_decay=0.1, beta1=beta1), ours, grads)
    switches = {"scale_parameter": False, "relative_step": False}
    apply(TransformersAdafactor([theirs], lr=1e-2, weight_decay=0.1, beta1=beta1 or None, **switches), theirs, grads)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


def test_a_matrix_keeps_a_row_and_a_column():
    param = parameter((30, 20))
    optimizer = Adafactor([param])
    apply(optimizer, param, gradients((30, 20), 2))
    kept = {key: tuple(value.shape) for key, value in optimizer.state[param].items()}
    assert kept == {"step": (), "exp_avg_sq_row": (30,), "exp_avg_sq_col": (20,)}


def test_refuses_a_warm_up_of_a_step_that_is_not_relative():
    with pytest.raises(ValueError, match=r"^warmup_init needs relative_step, got relative_step False$"):
        Adafactor([parameter((3,))], warmup_init=True)


@pytest.mark.parametrize("decay_rate", [0.0, -1.5])
def test_refuses_a_decay_rate_out_of_range(decay_rate):
    with pytest.raises(ValueError, match=rf"^decay_rate must be in \[-1, 0\), got {decay_rate}$"):
        Adafactor([parameter((3,))], decay_rate=decay_rate)
