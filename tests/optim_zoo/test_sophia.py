import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.sophia import SophiaReference
from tests.reference.trajectory import apply, assert_follows, gradients, parameter

from swift_optim_zoo.sophia import Sophia


@settings(max_examples=40, deadline=None)
@given(
    shape=st.sampled_from([(5,), (3, 4), (2, 3, 4)]),
    lr=st.floats(1e-4, 1e-1),
    betas=st.tuples(st.floats(0.0, 0.95), st.floats(0.5, 0.999)),
    rho=st.floats(0.01, 1.0),
    num_tokens=st.integers(1, 100),
    hessian_interval=st.integers(1, 4),
    weight_decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(shape, seed, **options):
    assert_follows(lambda p: Sophia([p], **options), lambda w: SophiaReference(w, **options), shape, seed=seed)


def test_no_weight_moves_by_more_than_lr():
    param = parameter((6, 5))
    start = param.detach().clone()
    apply(Sophia([param], lr=0.1, rho=1e-6), param, gradients((6, 5), 1))
    torch.testing.assert_close((param - start).abs(), torch.full((6, 5), 0.1, dtype=torch.float64))


def test_a_sampled_curvature_is_taken_when_it_is_given():
    param = torch.nn.Parameter(torch.zeros(2))
    optimizer = Sophia([param], lr=0.1, betas=(0.0, 0.5), rho=1.0, num_tokens=1, estimator="sampled")
    param.grad = torch.tensor([2.0, 4.0])
    optimizer.update_hessian()
    apply(optimizer, param, [torch.tensor([1.0, 4.0])])
    torch.testing.assert_close(param.detach(), torch.tensor([-0.05, -0.05]))  # 1 / (0.5 * 4) and 4 / (0.5 * 16)


def test_refuses_options_out_of_range():
    with pytest.raises(ValueError, match=r"^rho must be > 0, got 0.0$"):
        Sophia([parameter((2,))], rho=0.0)
    with pytest.raises(ValueError, match=r"^hessian_interval must be an integer >= 1, got 0$"):
        Sophia([parameter((2,))], hessian_interval=0)
    with pytest.raises(ValueError, match=r"^estimator must be one of empirical, sampled, got exact$"):
        Sophia([parameter((2,))], estimator="exact")
