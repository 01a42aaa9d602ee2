import pytest
import torch
from tests.reference.low_rank import low_rank_plus_noise

from swift_optim_zoo._bases import svd_basis
from swift_optim_zoo._products import in_bfloat16, narrow_products
from swift_optim_zoo._projector import Projection, projected_side


@pytest.mark.parametrize(
    ("shape", "proj_type", "side"),
    [
        ((8, 4), "std", "right"),
        ((4, 8), "std", "left"),
        ((4, 4), "std", "right"),
        ((8, 4), "reverse_std", "left"),
        ((4, 8), "reverse_std", "right"),
        ((4, 4), "reverse_std", "left"),
        ((4, 8), "right", "right"),
        ((8, 4), "left", "left"),
        ((8, 4), "full", "both"),
    ],
)
def test_the_projected_side_follows_shape_and_type(shape, proj_type, side):
    assert projected_side(torch.Size(shape), proj_type) == side


def projection_of(grad, rank, side, **options):
    left = svd_basis(grad.T, rank) if side != "right" else None
    return Projection(left, svd_basis(grad, rank) if side != "left" else None, **options)


@pytest.mark.parametrize("side", ["left", "right", "both"])
@pytest.mark.parametrize("shape", [(9, 6), (6, 9)])
def test_a_gradient_of_the_basis_rank_comes_back_whole(shape, side):
    grad = low_rank_plus_noise(*shape, rank=2, noise=0.0)
    projection = projection_of(grad, 2, side)
    restored = torch.full_like(grad, 7.0)
    projection.add_back_(restored, projection.project(grad), alpha=1.0, decay=0.0)
    torch.testing.assert_close(restored, grad)


@pytest.mark.parametrize("side", ["left", "right", "both"])
def test_products_in_bfloat16_lose_what_bfloat16_loses_and_no_more(side):
    grad = low_rank_plus_noise(96, 64, rank=64, noise=0.0).float()
    exact, narrow = projection_of(grad, 8, side), projection_of(grad, 8, side, narrow=True)
    low = exact.project(grad)
    error = (narrow.project(grad) - low).norm() / low.norm()
    assert error < 1e-2
    wide_back, narrow_back = torch.ones_like(grad), torch.ones_like(grad)
    exact.add_back_(wide_back, low, alpha=-0.1, decay=0.5)
    narrow.add_back_(narrow_back, low, alpha=-0.1, decay=0.5)
    assert (narrow_back - wide_back).norm() / (wide_back - 0.5).norm() < 1e-2


def test_only_float32_is_multiplied_in_bfloat16_and_only_where_it_is_asked_for():
    matrix = torch.zeros(4, 4)
    assert in_bfloat16(matrix, "bfloat16")
    assert not in_bfloat16(matrix.double(), "bfloat16")
    assert not in_bfloat16(torch.zeros(512, 512), "float32")
    assert not in_bfloat16(matrix, "auto")


def test_the_switch_is_put_back():
    matmul = torch.backends.mkldnn.matmul
    before = matmul.fp32_precision
    with narrow_products(enabled=True):
        assert matmul.fp32_precision == "bf16"
    assert matmul.fp32_precision == before
    with narrow_products(enabled=False):
        assert matmul.fp32_precision == before
