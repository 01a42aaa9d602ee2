import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.soap import SoapReference
from tests.reference.trajectory import apply, assert_follows, gradients, parameter

from swift_optim_zoo.soap import Soap


@settings(max_examples=30, deadline=None)
@given(
    shape=st.one_of(st.integers(2, 6).map(lambda side: (side, side)), st.sampled_from([(3, 4, 2), (2, 3, 2, 2)])),
    lr=st.floats(1e-4, 1e-1),
    betas=st.tuples(st.floats(0.0, 0.95), st.floats(0.5, 0.99)),
    shampoo_beta=st.sampled_from([0.0, 0.9]),
    weight_decay=st.sampled_from([0.0, 0.1]),
    precondition_frequency=st.integers(1, 4),
    normalize_grads=st.booleans(),
    correct_bias=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(shape, seed, **options):
    options["eps"] = 1e-8
    assert_follows(
        lambda p: Soap([p], **options),
        lambda w: SoapReference(w, **options),
        shape,
        seed=seed,
        rtol=1e-6,
        atol=1e-8,
    )


def test_without_bases_it_is_adam_one_step_late():
    ours, theirs = parameter((6, 4)), parameter((6, 4))
    grads = gradients((6, 4), 6)
    apply(Soap([ours], lr=1e-2, betas=(0.9, 0.99), eps=0.0, max_precondition_dim=1), ours, grads)
    apply(torch.optim.Adam([theirs], lr=1e-2, betas=(0.9, 0.99), eps=0.0), theirs, grads[1:])
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_the_bases_stay_orthonormal():
    param = parameter((8, 5))
    optimizer = Soap([param], precondition_frequency=1)
    apply(optimizer, param, gradients((8, 5), 12))
    for basis in (optimizer.state[param]["basis_0"], optimizer.state[param]["basis_1"]):
        torch.testing.assert_close(basis.T @ basis, torch.eye(len(basis), dtype=torch.float64), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("longest", "kept"), [(10, {"0", "1"}), (6, {"1"}), (3, set())])
def test_a_side_that_is_too_long_has_no_basis(longest, kept):
    param = parameter((8, 5))
    optimizer = Soap([param], max_precondition_dim=longest)
    apply(optimizer, param, gradients((8, 5), 3))
    assert {key.removeprefix("basis_") for key in optimizer.state[param] if key.startswith("basis")} == kept


@pytest.mark.parametrize(("precondition_1d", "kept"), [(False, set()), (True, {"gram_0", "basis_0"})])
def test_a_vector_has_a_basis_where_that_is_asked_for(precondition_1d, kept):
    param = parameter((5,))
    optimizer = Soap([param], precondition_1d=precondition_1d)
    apply(optimizer, param, gradients((5,), 2))
    assert {key for key in optimizer.state[param] if key.startswith(("gram", "basis"))} == kept


def test_refuses_a_frequency_of_zero():
    with pytest.raises(ValueError, match=r"^precondition_frequency must be an integer >= 1, got 0$"):
        Soap([parameter((3,))], precondition_frequency=0)
