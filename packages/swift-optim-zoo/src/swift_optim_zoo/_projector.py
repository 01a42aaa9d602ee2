"""Low-rank projection of a gradient matrix, as GaLore uses it.

With orthonormal columns P [rows, r] and Q [columns, r] that span the leading singular directions of G [rows, columns]:

    right side:  R = G Q       [rows, r]       back(N) = N Q^T
    left side:   R = P^T G     [r, columns]    back(N) = P N
    both sides:  R = P^T G Q   [r, r]          back(N) = P N Q^T

Zhao et al., 2024, arXiv:2403.03507, eq. 4 and definition 3.4. Only the factors that are used are kept.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch  # noqa: TC002 - beside the next
from torch import Tensor  # noqa: TC002 - fields of a tuple

from swift_optim_zoo._products import narrow_products

Side = Literal["left", "right", "both"]
ProjType = Literal["std", "reverse_std", "right", "left", "full"]


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


class Projection(NamedTuple):
    """The factors of a projection; None stands for the identity."""

    left: Tensor | None
    """[rows, rank]."""

    right: Tensor | None
    """[columns, rank]."""

    narrow: bool = False
    """Multiply in bfloat16 inside."""

    def project(self, grad: Tensor) -> Tensor:
        """Return the low-rank gradient, a new tensor of the type of `grad`."""
        with narrow_products(self.narrow):
            low = grad if self.left is None else self.left.T @ grad
            return low if self.right is None else low @ self.right

    def add_back_(self, param: Tensor, low_rank: Tensor, *, alpha: float, decay: float) -> None:
        """Compute `param = decay * param + alpha * back(low_rank)` in place, without a full-size temporary."""
        first = low_rank if self.left is None else self.left
        second = low_rank if self.right is None else self.right.T
        with narrow_products(self.narrow):
            if self.left is not None and self.right is not None:
                second = low_rank @ second
            param.addmm_(first, second, beta=decay, alpha=alpha)
