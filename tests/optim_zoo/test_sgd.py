import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.sgd import SGDReference
from tests.reference.trajectory import apply, assert_follows, gradients, parameter

from swift_optim_zoo.sgd import SGD


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(5,), (3, 4)]),
    lr=st.floats(1e-4, 1e-1),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    nesterov=st.booleans(),
    weight_decay=st.sampled_from([0.0, 0.1]),
    decoupled_decay=st.booleans(),
    dampening=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(shape, lr, momentum, nesterov, weight_decay, decoupled_decay, dampening, seed):
    options = {
        "lr": lr,
        "momentum": momentum,
        "nesterov": nesterov and momentum > 0 and not dampening,
        "dampening": dampening,
        "weight_decay": weight_decay,
        "decoupled_decay": decoupled_decay,
    }
    assert_follows(lambda p: SGD([p], **options), lambda w: SGDReference(w, **options), shape, seed=seed)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_moves_bit_for_bit_as_sgd_of_torch(momentum, nesterov):
    options = {"lr": 1e-2, "momentum": momentum, "nesterov": nesterov, "weight_decay": 0.1}
    grads = gradients((6, 4), 8, dtype=torch.float32)
    ours, theirs = parameter((6, 4), dtype=torch.float32), parameter((6, 4), dtype=torch.float32)
    apply(SGD([ours], **options), ours, grads)
    apply(torch.optim.SGD([theirs], **options), theirs, grads)
    assert torch.equal(ours, theirs)


def test_without_momentum_nothing_is_kept():
    param = parameter((3,))
    optimizer = SGD([param])
    apply(optimizer, param, gradients((3,), 1))
    assert not optimizer.state[param]


def test_refuses_nesterov_with_dampening():
    with pytest.raises(ValueError, match=r"^nesterov needs dampening 0, got 0.5$"):
        SGD([parameter((3,))], momentum=0.9, nesterov=True, dampening=0.5)


def test_refuses_nesterov_without_momentum():
    with pytest.raises(ValueError, match=r"^nesterov needs momentum > 0, got momentum 0.0$"):
        SGD([parameter((3,))], nesterov=True)
