"""New bases for a projection: exact, by a step of subspace iteration from the old one, sketched, or random.

    exact:     the r leading right singular vectors of A       (A is G on the right side, G^T on the left)
    random:    Q <- S / |columns of S|,  each row of S with one +1 or -1, in column (row number mod r)
    sketch:    Q <- orthonormal basis of A^T S
    subspace:  Q <- orthonormal basis of (A^T A - s) Q_old,  s = (|A|^2 - |A Q_old|^2) / (columns - r) * 0.3
    ordered:   Q <- Q V,  V eigenvectors of (A Q)^T (A Q), the one that captures most first    (Rayleigh-Ritz)
    aligned:   Q <- Q polar(Q^T Q_old)     (of all bases of the same subspace the nearest to the old one)

The sketch: Clarkson and Woodruff, 2013, arXiv:1207.6365. Subspace iteration: Halko, Martinsson and Tropp, 2011,
arXiv:0909.4061, alg. 4.4. s is a part of the mean eigenvalue of A^T A outside of the old basis: what is not wanted
shrinks faster for it, at no cost. The nearest basis is the answer to the orthogonal Procrustes problem (Schoenemann,
1966, doi:10.1007/BF02289451), found by Newton and Schulz's iteration for the polar factor: Higham, 2008, "Functions of
Matrices", eq. 8.20.
"""

from __future__ import annotations

import torch
from torch import Tensor

from swift_optim_zoo._products import narrow_products

_CHEAP_IN_DOUBLE = 256
"""Side of a Gram matrix up to which its eigenvectors are found in float64: it costs nothing."""


_SHIFT = 0.3
"""Share of the mean unwanted eigenvalue that is taken off all; more gains less where the old basis is far off."""

_NEAR_DEPENDENT = 30.0
"""A vector is too near the span of others for Cholesky's factor when its sine is below so many roots of epsilon."""

_NEAR = 0.75
"""Mean square of the cosines between two bases from which their spaces lie near each other."""

_NUM_POLAR_STEPS = 14
"""Steps in which a polar factor is found if no cosine between two subspaces is below 0.02."""


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
    """Return columns [columns of `matrix`, rank] that share no row and are orthonormal for it; signs from `seed`."""
    num_rows = matrix.shape[1]
    rows = torch.arange(num_rows, device=matrix.device)
    columns = rows % rank
    basis = torch.zeros(num_rows, rank, dtype=matrix.dtype, device=matrix.device)
    basis[rows, columns] = _signs(num_rows, seed).to(matrix) / columns.bincount()[columns].sqrt()
    return basis


def sketch_basis(matrix: Tensor, rank: int, seed: int) -> Tensor:
    """Return an orthonormal basis of `rank` sums of the rows of `matrix`, each row in one of them, signs from `seed`.

    One pass over `matrix` and no product with it. Rows that stand `rank` apart come into the same sum.
    """
    signs = _signs(len(matrix), seed).to(matrix).unsqueeze(1)
    sums = matrix[:rank] * signs[:rank]
    for start in range(rank, len(matrix), rank):
        rows = matrix[start : start + rank]
        sums[: len(rows)].addcmul_(rows, signs[start : start + rank])
    return _orthonormal(sums)


def _signs(count: int, seed: int) -> Tensor:
    """Return `count` times +1 or -1, drawn from `seed` on the CPU: the same on any device."""
    drawn: Tensor = torch.randint(0, 2, (count,), generator=torch.Generator().manual_seed(seed))
    return 2 * drawn - 1


def _orthonormal(rows: Tensor) -> Tensor:
    """Return as columns an orthonormal basis of `rows`, by Cholesky's factor of their products where they lie apart."""
    gram = rows @ rows.T
    factor, _ = torch.linalg.cholesky_ex(gram)
    sines = factor.diagonal() / gram.diagonal().sqrt()  # of each row with the span of those before it
    limit = _NEAR_DEPENDENT * torch.finfo(rows.dtype).eps ** 0.5
    if not bool((sines > limit).all()):  # also where the factor has NaN
        basis: Tensor = torch.linalg.qr(rows.T)[0]
    else:
        basis = torch.linalg.solve_triangular(factor, rows, upper=False).T
    return basis.contiguous()


def subspace_basis(matrix: Tensor, old: Tensor, *, narrow: bool = False) -> Tensor:
    """Return an orthonormal basis of (`matrix`^T `matrix` - s) `old`; `narrow` multiplies in bfloat16.

    Costs two products with `matrix` instead of an SVD, and is exact when `old` already spans the answer. Where `old`
    shows less of `matrix` than random directions would, the basis is that of the Gram matrix.
    """
    num_columns, rank = old.shape
    with narrow_products(narrow):
        image = matrix @ old
        total, seen = float(matrix.norm()) ** 2, float(image.norm()) ** 2
        if seen < 0.5 * total * rank / num_columns:
            return gram_basis(matrix, rank)
        shift = _SHIFT * max(total - seen, 0.0) / max(num_columns - rank, 1)
        turned = torch.addmm(old.T, image.T, matrix, beta=-shift)  # this way round it is up to a third faster
    basis: Tensor = torch.linalg.qr(turned.T)[0]
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
    """Return the orthogonal polar factor of `cosines`, whose singular values are at most 1.

    By an SVD where two spaces lie apart: then the iteration takes more steps than that costs.
    """
    lie_near = float(cosines.square().sum()) > _NEAR * len(cosines)
    factor = _polar(cosines) if lie_near else None
    if factor is None:
        left, _, right = torch.linalg.svd(cosines)
        factor = left @ right
    return factor


def _polar(cosines: Tensor) -> Tensor | None:
    """Return the orthogonal polar factor of `cosines` by Newton and Schulz's iteration, None where it is not found."""
    factor, identity = cosines, torch.eye(len(cosines), dtype=cosines.dtype, device=cosines.device)
    near_enough = torch.finfo(cosines.dtype).eps ** 0.5  # each step squares the distance
    for _ in range(_NUM_POLAR_STEPS):
        gram = factor.T @ factor
        is_near = float((gram - identity).norm()) < near_enough
        factor = torch.addmm(factor, factor, gram, beta=1.5, alpha=-0.5)
        if is_near:
            return factor
    return None


def leading_direction(low_rank: Tensor, basis: Tensor) -> Tensor:
    """Return the direction in the span of `basis` that captures most; `low_rank` is the matrix times `basis`."""
    direction: Tensor = basis @ torch.linalg.eigh(low_rank.T @ low_rank)[1][:, -1]
    return direction


def fix_signs_(basis: Tensor) -> Tensor:
    """Flip columns in place so that each one's largest entry is positive; an SVD leaves signs to chance."""
    largest = basis.abs().argmax(dim=0, keepdim=True)
    return basis.mul_(torch.where(basis.gather(0, largest) < 0, -1.0, 1.0).to(basis.dtype))
