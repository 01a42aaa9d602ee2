import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.sgd import LarsReference
from tests.reference.trajectory import apply, assert_follows, gradients, parameter

from swift_optim_zoo.lars import Lars


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(5,), (3, 4)]),
    lr=st.floats(1e-4, 1e-1),
    momentum=st.sampled_from([0.0, 0.9]),
    weight_decay=st.sampled_from([0.0, 0.1]),
    trust_coefficient=st.sampled_from([1e-3, 0.5]),
    trust_clip=st.booleans(),
    adapt_vectors=st.booleans(),
    adapt_undecayed=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(shape, seed, **options):
    assert_follows(lambda p: Lars([p], **options), lambda w: LarsReference(w, **options), shape, seed=seed)


def test_a_matrix_moves_by_a_share_of_its_norm_whatever_the_gradient():
    param = parameter((6, 4))
    start = param.detach().clone()
    apply(Lars([param], lr=2.0, trust_coefficient=0.01), param, [1e6 * gradients((6, 4), 1)[0]])
    torch.testing.assert_close((param - start).norm(), 0.02 * start.norm())


def test_refuses_a_trust_coefficient_of_zero():
    with pytest.raises(ValueError, match=r"^trust_coefficient must be > 0, got 0.0$"):
        Lars([parameter((3,))], trust_coefficient=0.0)
