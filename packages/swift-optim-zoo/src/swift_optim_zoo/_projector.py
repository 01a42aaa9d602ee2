"""Low-rank projection of a gradient matrix, as GaLore uses it.

With a basis Q of orthonormal columns, r of them, spanning the leading singular directions of G [rows, columns]:

    right side:  R = G Q     [rows, r]       back(N) = N Q^T
    left side:   R = Q^T G   [r, columns]    back(N) = Q N

Zhao et al., 2024, arXiv:2403.03507, eq. 4 and definition 3.4. Only the factor that is used is kept.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Side = Literal["left", "right"]
ProjType = Literal["std", "reverse_std", "right", "left"]


def projected_side(shape: torch.Size, proj_type: ProjType) -> Side:
    """Return which side of a matrix of `shape` is projected.

    `std` projects the shorter side: right when there are at least as many rows as columns, else left.
    """
    if proj_type == "right" or proj_type == "left":
        return proj_type
    rows, columns = shape
    return "right" if (rows >= columns) == (proj_type == "std") else "left"


def exact_basis(grad: Tensor, rank: int, side: Side) -> Tensor:
    """Return the `rank` leading singular vectors of `grad` as columns, [side length, rank]; one full SVD."""
    left, _, right = torch.linalg.svd(grad, full_matrices=False)
    vectors = left[:, :rank] if side == "left" else right[:rank].T
    return fix_signs_(vectors.clone(memory_format=torch.contiguous_format))


def warm_basis(grad: Tensor, basis: Tensor, side: Side) -> Tensor:
    """Return leading singular vectors of `grad` approximated by one step of subspace iteration from the old `basis`.

    One multiplication by the Gram matrix, a QR, and a Rayleigh-Ritz rotation that orders the columns by captured
    energy. Costs two products with `grad` instead of an SVD; exact when `basis` already spans the answer.
    """
    matrix = grad if side == "right" else grad.T
    subspace, _ = torch.linalg.qr(matrix.T @ (matrix @ basis))
    image = matrix @ subspace
    _, rotation = torch.linalg.eigh(image.T @ image)  # ascending, so the last columns capture most
    return fix_signs_(subspace @ rotation.flip(1))


def fix_signs_(basis: Tensor) -> Tensor:
    """Flip columns in place so that each one's largest entry is positive; an SVD leaves signs to chance."""
    largest = basis.abs().argmax(dim=0, keepdim=True)
    return basis.mul_(torch.where(basis.gather(0, largest) < 0, -1.0, 1.0).to(basis.dtype))


def project(grad: Tensor, basis: Tensor, side: Side) -> Tensor:
    """Return the low-rank gradient: [rows, rank] on the right side, [rank, columns] on the left."""
    return grad @ basis if side == "right" else basis.T @ grad


def add_back_(param: Tensor, low_rank: Tensor, basis: Tensor, side: Side, *, alpha: float, decay: float) -> None:
    """Compute `param = decay * param + alpha * back(low_rank)` in place, without a full-size temporary."""
    first, second = (low_rank, basis.T) if side == "right" else (basis, low_rank)
    param.addmm_(first, second, beta=decay, alpha=alpha)
