import pytest
import torch
from tests.reference.low_rank import low_rank_plus_noise

from swift_optim_zoo import _bases


def energy(matrix, basis):
    return float((matrix @ basis).square().sum() / matrix.square().sum())


def is_orthonormal(basis):
    return torch.allclose(basis.T @ basis, torch.eye(basis.shape[1], dtype=basis.dtype), atol=1e-10)


@pytest.mark.parametrize("make", [_bases.svd_basis, _bases.gram_basis])
@pytest.mark.parametrize("shape", [(12, 7), (7, 12)])
def test_a_basis_is_orthonormal_and_holds_its_own_memory(make, shape):
    basis = make(low_rank_plus_noise(*shape, rank=7, noise=0.1), 3)
    assert basis.shape == (shape[1], 3)
    assert is_orthonormal(basis)
    assert basis.untyped_storage().nbytes() == basis.numel() * 8
    assert basis.is_contiguous()


@pytest.mark.parametrize("shape", [(20, 12), (12, 20)])
def test_the_gram_matrix_gives_the_vectors_of_the_svd(shape):
    matrix = low_rank_plus_noise(*shape, rank=12, noise=0.1)
    torch.testing.assert_close(_bases.gram_basis(matrix, 4), _bases.svd_basis(matrix, 4), atol=1e-9, rtol=0)


def test_signs_do_not_depend_on_the_sign_of_the_gradient():
    matrix = low_rank_plus_noise(9, 6, rank=6, noise=0.1)
    torch.testing.assert_close(_bases.svd_basis(matrix, 3), _bases.svd_basis(-matrix, 3))
    torch.testing.assert_close(
        _bases.fix_signs_(torch.tensor([[0.6, -0.8], [-0.8, 0.6]])), torch.tensor([[-0.6, 0.8], [0.8, -0.6]])
    )


@pytest.mark.parametrize("shape", [(40, 30), (30, 40)])
def test_subspace_iteration_started_near_the_answer_finds_it(shape):
    old = low_rank_plus_noise(*shape, rank=5, noise=0.05, seed=1)
    new = old + 0.3 * low_rank_plus_noise(*shape, rank=5, noise=0.0, seed=2) / 5
    first = _bases.svd_basis(old, 5)
    warm = _bases.subspace_basis(new, first)
    best = energy(new, _bases.svd_basis(new, 5))
    assert energy(new, first) < energy(new, warm) <= best + 1e-12
    assert energy(new, warm) >= 0.995 * best
    assert is_orthonormal(warm)


@pytest.mark.parametrize("shape", [(288, 288), (96, 288), (400, 288)])
def test_many_directions_of_a_flat_spectrum_are_found_from_a_noisy_start(shape):
    rank, short = 72, min(shape)
    generator = torch.Generator().manual_seed(3)
    left, right = (torch.linalg.qr(torch.randn(side, short, generator=generator))[0] for side in shape)
    matrix = (left * torch.arange(1, short + 1) ** -0.7) @ right.T
    noise = 0.5 * matrix.std() * torch.randn(shape, generator=generator)
    old = _bases.svd_basis(matrix + noise, rank)
    warm, plain = _bases.subspace_basis(matrix, old), torch.linalg.qr(matrix.T @ (matrix @ old))[0]
    assert energy(matrix, warm) >= 0.995 * energy(matrix, _bases.svd_basis(matrix, rank))
    if rank < short / 2:  # the shift is for what is left out
        assert energy(matrix, warm) > energy(matrix, plain) + 1e-3


def test_subspace_iteration_in_bfloat16_captures_as_much():
    old = low_rank_plus_noise(60, 40, rank=5, noise=0.05, seed=1).float()
    basis = _bases.subspace_basis(old, _bases.svd_basis(old, 5), narrow=True)
    assert energy(old, basis) >= 0.9999 * energy(old, _bases.svd_basis(old, 5))
    assert (basis.T @ basis - torch.eye(5)).abs().max() < 1e-6


def test_subspace_iteration_survives_a_gradient_of_lower_rank():
    basis = _bases.subspace_basis(low_rank_plus_noise(9, 6, rank=1, noise=0.0), torch.eye(6, 3, dtype=torch.float64))
    assert is_orthonormal(basis)


def test_an_old_basis_that_shows_nothing_is_replaced_by_the_right_one():
    matrix = torch.zeros(9, 6, dtype=torch.float64)
    matrix[2, 5] = matrix[3, 4] = 1.0
    basis = _bases.subspace_basis(matrix, torch.eye(6, 2, dtype=torch.float64))
    assert energy(matrix, basis) == pytest.approx(1)


def test_ordering_gives_the_columns_of_an_svd():
    matrix = low_rank_plus_noise(20, 12, rank=12, noise=0.0)
    basis = _bases.svd_basis(matrix, 4)
    turned = basis @ torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))[0]
    torch.testing.assert_close(_bases.ordered(turned, matrix), basis)


def test_alignment_stays_in_the_span_and_comes_nearest():
    old, new = (torch.linalg.qr(low_rank_plus_noise(9, 3, 3, 0.0, seed))[0] for seed in (1, 2))
    near = _bases.aligned(new, old)
    assert is_orthonormal(near)
    torch.testing.assert_close(near @ near.T, new @ new.T)
    for seed in range(20):
        turn = torch.linalg.qr(low_rank_plus_noise(3, 3, 3, 0.0, seed))[0]
        assert (near - old).norm() <= (new @ turn - old).norm() + 1e-12


def test_alignment_of_spaces_at_a_right_angle_gives_a_basis():
    identity = torch.eye(6, dtype=torch.float64)
    near = _bases.aligned(identity[:, [0, 4, 5]], identity[:, :3])
    assert is_orthonormal(near)
    torch.testing.assert_close(near[:, 0], identity[:, 0])


def test_a_basis_that_only_was_turned_is_turned_back():
    basis = torch.linalg.qr(low_rank_plus_noise(9, 3, 3, 0.0))[0]
    turn = torch.linalg.qr(low_rank_plus_noise(3, 3, 3, 0.0, seed=4))[0]
    torch.testing.assert_close(_bases.aligned(basis @ turn, basis), basis)


def test_random_bases_are_orthonormal_and_follow_their_seed():
    matrix = torch.zeros(5, 9, dtype=torch.float64)
    basis = _bases.random_basis(matrix, 4, seed=7)
    assert basis.shape == (9, 4)
    assert is_orthonormal(basis)
    assert torch.equal((basis != 0).sum(dim=1), torch.ones(9, dtype=torch.int64))  # each row in one column
    assert torch.equal(basis, _bases.random_basis(matrix, 4, seed=7))
    assert not torch.equal(basis, _bases.random_basis(matrix, 4, seed=8))


@pytest.mark.parametrize("shape", [(13, 9), (9, 13), (12, 4)])
def test_a_sketch_spans_signed_sums_of_rows(shape):
    matrix, rank, seed = low_rank_plus_noise(*shape, rank=4, noise=0.1), 4, 3
    basis = _bases.sketch_basis(matrix, rank, seed)
    signs = torch.randint(0, 2, (shape[0],), generator=torch.Generator().manual_seed(seed)) * 2.0 - 1
    sums = torch.stack([(signs[first::rank, None] * matrix[first::rank]).sum(dim=0) for first in range(rank)])
    assert is_orthonormal(basis)
    assert basis.is_contiguous()
    torch.testing.assert_close(sums @ basis @ basis.T, sums)


def test_a_sketch_of_the_transpose_and_of_dependent_rows_is_orthonormal():
    matrix = low_rank_plus_noise(10, 7, rank=1, noise=0.0)
    for view in (matrix.T, matrix, torch.eye(7, dtype=torch.float64)[:, :3].T.repeat(2, 1)):
        assert is_orthonormal(_bases.sketch_basis(view, 3, seed=1))


@pytest.mark.parametrize(("power", "least"), [(0.5, 0.7), (0.7, 0.85), (1.0, 0.97)])
def test_a_sketch_holds_most_of_what_the_best_basis_holds_and_one_iteration_nearly_all(power, least):
    generator = torch.Generator().manual_seed(5)
    left, right = (torch.linalg.qr(torch.randn(side, 160, generator=generator))[0] for side in (240, 160))
    matrix = (left * torch.arange(1, 161) ** -power) @ right.T
    best = energy(matrix, _bases.svd_basis(matrix, 32))
    sketch = _bases.sketch_basis(matrix, 32, seed=2)
    assert energy(matrix, sketch) > least * best
    assert energy(matrix, _bases.subspace_basis(matrix, sketch)) > 0.97 * best


def test_the_leading_direction_is_the_first_singular_vector():
    matrix = low_rank_plus_noise(12, 8, rank=8, noise=0.0)
    basis = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64))[0]
    leading = _bases.leading_direction(matrix @ basis, basis)
    assert abs(float(leading @ _bases.svd_basis(matrix, 1)[:, 0])) == pytest.approx(1)
