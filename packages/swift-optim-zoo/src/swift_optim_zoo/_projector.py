"""Low-rank projection of a gradient matrix, as GaLore uses it.

With orthonormal columns P [rows, r] and Q [columns, r] that span the leading singular directions of G [rows, columns]:

    right side:  R = G Q       [rows, r]       back(N) = N Q^T
    left side:   R = P^T G     [r, columns]    back(N) = P N
    both sides:  R = P^T G Q   [r, r]          back(N) = P N Q^T

Zhao et al., 2024, arXiv:2403.03507, eq. 4 and definition 3.4. Only the factors that are used are kept.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Side = Literal["left", "right", "both"]
ProjType = Literal["std", "reverse_std", "right", "left", "full"]
Products = Literal["auto", "float32", "bfloat16"]

LARGE = 1 << 16
"""Elements from which a matrix is worth its cast to bfloat16 before it is multiplied."""


def projected_side(shape: torch.Size, proj_type: ProjType) -> Side:
    """Return which side of a matrix of `shape` is projected.

    `std` projects the shorter side: right when there are at least as many rows as columns, else left.
    """
    if proj_type == "right" or proj_type == "left":
        return proj_type
    if proj_type == "full":
        return "both"
    rows, columns = shape
    return "right" if (rows >= columns) == (proj_type == "std") else "left"


def in_bfloat16(matrix: Tensor, products: Products) -> bool:
    """Say whether products with `matrix` are to be taken in bfloat16; `auto`: a large one on a CPU that has AMX."""
    if products != "auto" or matrix.dtype is not torch.float32:
        return products == "bfloat16" and matrix.dtype is torch.float32
    return matrix.numel() >= LARGE and matrix.device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported())


class Projection(NamedTuple):
    """The factors of a projection; None stands for the identity."""

    left: Tensor | None
    """[rows, rank]."""

    right: Tensor | None
    """[columns, rank]."""

    narrow: bool = False
    """Multiply in bfloat16."""

    def project(self, grad: Tensor) -> Tensor:
        """Return the low-rank gradient, a new tensor of the type of `grad`."""
        low = grad if self.left is None else self._product(self.left.T, grad)
        return low if self.right is None else self._product(low, self.right)

    def add_back_(self, param: Tensor, low_rank: Tensor, *, alpha: float, decay: float) -> None:
        """Compute `param = decay * param + alpha * back(low_rank)` in place."""
        first = low_rank if self.left is None else self.left
        second = low_rank if self.right is None else self.right.T
        if self.left is not None and self.right is not None:
            second = self._product(low_rank, second)
        if not self.narrow:
            param.addmm_(first, second, beta=decay, alpha=alpha)
            return
        if decay != 1:
            param.mul_(decay)
        param.add_(first.bfloat16() @ second.bfloat16(), alpha=alpha)

    def _product(self, first: Tensor, second: Tensor) -> Tensor:
        return (first.bfloat16() @ second.bfloat16()).to(first.dtype) if self.narrow else first @ second
