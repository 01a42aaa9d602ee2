"""Second moments kept as the means of rows and of columns, as Adafactor has them; CAME and AdaLomo do too.

    V[i, j] = R[i] C[j] / mean(R)

Shazeer and Stern, 2018, arXiv:1804.04235, alg. 4. Of more than two dimensions the last two are factored; tensors below
two dimensions keep the whole second moment.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from swift_optim_zoo._base import State, zeros_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


def update_means_(
    row: Tensor,
    column: Tensor,
    blocks: Sequence[slice],
    squares: Callable[[slice], Tensor],
    *,
    beta: float,
    eps: float,
) -> None:
    """Update the means of rows and columns in place, from squares that are made a block of rows at a time.

    eps is added to every square.
    """
    totals = torch.zeros_like(column)
    for block in blocks:
        squared = squares(block)
        row[block].lerp_(squared.mean(dim=-1).add_(eps), 1 - beta)
        totals += squared.sum(dim=-2)
    column.lerp_(totals.div_(row.shape[-1]).add_(eps), 1 - beta)


def root_factors(row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """Return what elements are multiplied with, by rows and by columns, to be over the root of their mean square."""
    return (row / row.mean(dim=-1, keepdim=True)).rsqrt_().unsqueeze(-1), column.rsqrt().unsqueeze(-2)


def factored_update_(grad: Tensor, row: Tensor, column: Tensor, *, beta: float, eps: float) -> Tensor:
    """Update the row and column means in place and return `grad` over the root of their product.

    `grad` [..., rows, columns], `row` [..., rows], `column` [..., columns].
    """
    squared = grad.square().add_(eps)
    row.lerp_(squared.mean(dim=-1), 1 - beta)
    column.lerp_(squared.mean(dim=-2), 1 - beta)
    by_row, by_column = root_factors(row, column)
    return squared.copy_(grad).mul_(by_row).mul_(by_column)


def full_update_(grad: Tensor, exp_avg_sq: Tensor, *, beta: float, eps: float) -> Tensor:
    """Update the second moment in place and return `grad` over its root."""
    exp_avg_sq.lerp_(grad.square().add_(eps), 1 - beta)
    return exp_avg_sq.rsqrt().mul_(grad)


def root_mean_square(tensor: Tensor) -> float:
    """Return the root of the mean square of the elements."""
    return float(tensor.norm()) / math.sqrt(tensor.numel())


def clip_update_(update: Tensor, threshold: float) -> None:
    """Scale `update` down in place so that its root mean square is at most `threshold`."""
    update.div_(max(1.0, root_mean_square(update) / threshold))


def scaled_gradient(grad: Tensor, state: State, *, beta: float, eps: float) -> Tensor:
    """Update the second moment in `state` and return `grad` over its root, a new tensor."""
    if grad.dim() < 2:
        return full_update_(grad, zeros_in(state, "exp_avg_sq", grad), beta=beta, eps=eps)
    row = zeros_in(state, "exp_avg_sq_row", grad[..., 0])
    column = zeros_in(state, "exp_avg_sq_col", grad[..., 0, :])
    return factored_update_(grad, row, column, beta=beta, eps=eps)
