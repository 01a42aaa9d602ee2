"""New bases for a projection: exact, by a step or two of subspace iteration from the old one, or random.

    exact:     the r leading right singular vectors of A       (A is G on the right side, G^T on the left)
    subspace:  Q <- orthonormal basis of A^T (A Q_old), above rank 64 of A^T (A (A^T (A Q_old)))
    ordered:   Q <- Q V,  V eigenvectors of (A Q)^T (A Q), the one that captures most first    (Rayleigh-Ritz)
    aligned:   Q <- Q polar(Q^T Q_old)     (of all bases of the same subspace the nearest to the old one)

Subspace iteration: Halko, Martinsson and Tropp, 2011, arXiv:0909.4061, alg. 4.4. The nearest basis is the answer to the
orthogonal Procrustes problem: Schoenemann, 1966, doi:10.1007/BF02289451.
"""

from __future__ import annotations

import torch
from torch import Tensor

from swift_optim_zoo._products import narrow_products

_CHEAP_IN_DOUBLE = 256
"""Side of a Gram matrix up to which its eigenvectors are found in float64: it costs nothing."""


_ENOUGH_ONCE = 64
"""Rank up to which one step of subspace iteration finds 0.995 of the energy: directions further down lie closer."""

_APART = 1e-4
"""Squared cosine between two subspaces below which a nearest basis is found by an SVD."""


def svd_basis(matrix: Tensor, rank: int) -> Tensor:
    """Return the `rank` leading right singular vectors of `matrix` as columns, by a full SVD."""
    vectors: Tensor = torch.linalg.svd(matrix, full_matrices=False)[2][:rank].T
    return fix_signs_(vectors.clone(memory_format=torch.contiguous_format))


def gram_basis(matrix: Tensor, rank: int) -> Tensor:
    """Return the `rank` leading right singular vectors of `matrix` as columns, by the Gram matrix of its shorter side.

    A third of the cost of a full SVD; directions far below the largest are less exact than those of an SVD.
    """
    rows, columns = matrix.shape
    wide = matrix.double() if min(rows, columns) <= _CHEAP_IN_DOUBLE else matrix
    if rows >= columns:
        vectors = torch.linalg.eigh(wide.T @ wide)[1].flip(1)[:, :rank]
    else:
        vectors = torch.linalg.qr(wide.T @ torch.linalg.eigh(wide @ wide.T)[1].flip(1)[:, :rank])[0]
    return fix_signs_(vectors.to(matrix.dtype, copy=True, memory_format=torch.contiguous_format))


def random_basis(matrix: Tensor, rank: int, seed: int) -> Tensor:
    """Return orthonormal columns [columns of `matrix`, rank] drawn from `seed`, on the CPU: the same on any device."""
    drawn = torch.randn(matrix.shape[1], rank, generator=torch.Generator().manual_seed(seed))
    basis: Tensor = torch.linalg.qr(drawn.to(matrix))[0]
    return basis.contiguous()


def subspace_basis(matrix: Tensor, old: Tensor, *, narrow: bool = False) -> Tensor:
    """Return an orthonormal basis of (`matrix`^T `matrix`)^k `old`; `narrow` multiplies in bfloat16.

    k is 1 up to rank 64, else 2. Costs 2 k products with `matrix` instead of an SVD, and is exact when `old` already
    spans the answer. Where `old` shows less of `matrix` than random directions would, the basis is that of the Gram
    matrix.
    """
    with narrow_products(narrow):
        image = matrix @ old
        expected = old.shape[1] / old.shape[0] * float(matrix.norm()) ** 2
        if float(image.norm()) ** 2 < 0.5 * expected:
            return gram_basis(matrix, old.shape[1])
        turned = matrix.T @ image
        if old.shape[1] > _ENOUGH_ONCE:
            turned = matrix.T @ (matrix @ (turned / turned.norm()))
    basis: Tensor = torch.linalg.qr(turned)[0]
    return basis.contiguous()


def ordered(basis: Tensor, matrix: Tensor) -> Tensor:
    """Return `basis` turned so that its columns are Ritz vectors of `matrix`, with the signs of `fix_signs_`."""
    image = matrix @ basis
    return fix_signs_(basis @ torch.linalg.eigh(image.T @ image)[1].flip(1))


def aligned(basis: Tensor, old: Tensor) -> Tensor:
    """Return the basis of the subspace of `basis` that is nearest to `old` in the Frobenius norm."""
    turned: Tensor = basis @ _orthogonal(basis.T @ old)
    return turned


def _orthogonal(cosines: Tensor) -> Tensor:
    """Return the orthogonal polar factor of `cosines`, C (C^T C)^(-1/2); by an SVD only where two spaces lie apart."""
    squares, vectors = torch.linalg.eigh(cosines.T @ cosines)
    if not float(squares[0]) > _APART:
        left, _, right = torch.linalg.svd(cosines)
        factor: Tensor = left @ right
        return factor
    near = cosines @ ((vectors * squares.rsqrt()) @ vectors.T)
    polished: Tensor = 1.5 * near - 0.5 * (near @ (near.T @ near))  # Newton's step takes the rounding away
    return polished


def leading_direction(low_rank: Tensor, basis: Tensor) -> Tensor:
    """Return the direction in the span of `basis` that captures most; `low_rank` is the matrix times `basis`."""
    direction: Tensor = basis @ torch.linalg.eigh(low_rank.T @ low_rank)[1][:, -1]
    return direction


def fix_signs_(basis: Tensor) -> Tensor:
    """Flip columns in place so that each one's largest entry is positive; an SVD leaves signs to chance."""
    largest = basis.abs().argmax(dim=0, keepdim=True)
    return basis.mul_(torch.where(basis.gather(0, largest) < 0, -1.0, 1.0).to(basis.dtype))
