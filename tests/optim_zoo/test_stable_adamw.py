import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.stable_adamw import StableAdamWReference
from tests.reference.trajectory import apply, assert_follows, parameter

from swift_optim_zoo.stable_adamw import StableAdamW


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(5,), (3, 4)]),
    lr=st.floats(1e-4, 1e-1),
    betas=st.tuples(st.floats(0.1, 0.95), st.floats(0.1, 0.999)),
    eps=st.sampled_from([1e-8, 1e-1]),
    weight_decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(shape, seed, **options):
    assert_follows(
        lambda p: StableAdamW([p], **options), lambda w: StableAdamWReference(w, **options), shape, seed=seed
    )


def test_a_gradient_that_explodes_moves_the_weights_less_than_the_learning_rate():
    param = torch.nn.Parameter(torch.zeros(1))
    optimizer = StableAdamW([param], lr=0.1, betas=(0.0, 0.99))
    apply(optimizer, param, [torch.ones(1)] * 50)
    before = param.item()
    apply(optimizer, param, [torch.full((1,), 1000.0)])
    assert 0 < before - param.item() <= 0.1 + 1e-6


def test_refuses_eps_zero():
    with pytest.raises(ValueError, match=r"^eps must be > 0, got 0.0$"):
        StableAdamW([parameter((3,))], eps=0.0)
