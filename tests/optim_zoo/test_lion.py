import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.lion import LionReference
from tests.reference.trajectory import apply, assert_follows

from swift_optim_zoo.lion import Lion


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(5,), (3, 4), (2, 3, 2)]),
    lr=st.floats(1e-4, 1e-1),
    betas=st.tuples(st.floats(0.0, 0.95), st.floats(0.5, 0.999)),
    weight_decay=st.sampled_from([0.0, 0.1, 0.5]),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(shape, lr, betas, weight_decay, seed):
    options = {"lr": lr, "betas": betas, "weight_decay": weight_decay}
    assert_follows(lambda p: Lion([p], **options), lambda w: LionReference(w, **options), shape, seed=seed)


def test_every_weight_moves_by_the_learning_rate_against_its_gradient():
    param = torch.nn.Parameter(torch.zeros(3))
    apply(Lion([param], lr=0.5), param, [torch.tensor([7.0, -0.01, 0.0])])
    assert param.tolist() == [-0.5, 0.5, 0.0]


def test_keeps_one_tensor_per_parameter():
    param = torch.nn.Parameter(torch.zeros(3))
    optimizer = Lion([param])
    apply(optimizer, param, [torch.ones(3)])
    assert list(optimizer.state[param]) == ["exp_avg"]


def test_decay_takes_its_share_off_the_weights():
    param = torch.nn.Parameter(torch.tensor([2.0]))
    apply(Lion([param], lr=0.5, weight_decay=0.1), param, [torch.zeros(1)])
    assert param.item() == pytest.approx(2 * 0.95)
