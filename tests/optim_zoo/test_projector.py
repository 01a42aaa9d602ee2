import pytest
import torch

from swift_optim_zoo._projector import add_back_, exact_basis, fix_signs_, project, projected_side, warm_basis


def low_rank_plus_noise(rows, columns, rank, noise, seed=0):
    generator = torch.Generator().manual_seed(seed)
    left = torch.randn(rows, rank, generator=generator, dtype=torch.float64)
    right = torch.randn(rank, columns, generator=generator, dtype=torch.float64)
    return left @ right + noise * torch.randn(rows, columns, generator=generator, dtype=torch.float64)


def energy(grad, basis, side):
    return float(project(grad, basis, side).square().sum() / grad.square().sum())


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
    ],
)
def test_the_projected_side_follows_shape_and_type(shape, proj_type, side):
    assert projected_side(torch.Size(shape), proj_type) == side


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("shape", [(12, 7), (7, 12)])
def test_a_basis_is_orthonormal_and_holds_its_own_memory(side, shape):
    grad = low_rank_plus_noise(*shape, rank=7, noise=0.1)
    basis = exact_basis(grad, 3, side)
    assert basis.shape == (shape[0] if side == "left" else shape[1], 3)
    torch.testing.assert_close(basis.T @ basis, torch.eye(3, dtype=torch.float64), atol=1e-12, rtol=0)
    assert basis.untyped_storage().nbytes() == basis.numel() * 8
    assert basis.is_contiguous()


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_gradient_of_the_basis_rank_comes_back_whole(side):
    grad = low_rank_plus_noise(9, 6, rank=2, noise=0.0)
    basis = exact_basis(grad, 2, side)
    restored = torch.full_like(grad, 7.0)
    add_back_(restored, project(grad, basis, side), basis, side, alpha=1.0, decay=0.0)
    torch.testing.assert_close(restored, grad)


def test_signs_do_not_depend_on_the_sign_of_the_gradient():
    grad = low_rank_plus_noise(9, 6, rank=6, noise=0.1)
    torch.testing.assert_close(exact_basis(grad, 3, "right"), exact_basis(-grad, 3, "right"))
    torch.testing.assert_close(
        fix_signs_(torch.tensor([[0.6, -0.8], [-0.8, 0.6]])), torch.tensor([[-0.6, 0.8], [0.8, -0.6]])
    )


@pytest.mark.parametrize("side", ["left", "right"])
def test_subspace_iteration_started_near_the_answer_finds_it(side):
    old = low_rank_plus_noise(40, 30, rank=5, noise=0.05, seed=1)
    new = old + 0.3 * low_rank_plus_noise(40, 30, rank=5, noise=0.0, seed=2) / 5
    warm = warm_basis(new, exact_basis(old, 5, side), side)
    best = energy(new, exact_basis(new, 5, side), side)
    assert energy(new, exact_basis(old, 5, side), side) < energy(new, warm, side) <= best + 1e-12
    assert energy(new, warm, side) >= 0.995 * best
    torch.testing.assert_close(warm.T @ warm, torch.eye(5, dtype=torch.float64), atol=1e-12, rtol=0)


def test_subspace_iteration_orders_columns_as_an_svd_does():
    grad = low_rank_plus_noise(20, 12, rank=12, noise=0.0)
    basis = exact_basis(grad, 4, "right")
    torch.testing.assert_close(warm_basis(grad, basis, "right"), basis)
