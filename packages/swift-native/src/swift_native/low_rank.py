"""The elementwise half of GaLore: AdamW's moves of projected gradients, written to buffers of their own.

    m <- beta1 * m + (1 - beta1) * r
    v <- beta2 * v + (1 - beta2) * r^2
    move = -lr * m_hat / (sqrt(v_hat) + eps)

r is the gradient in the low-rank space; what comes back to the weights is the projector times the move. Zhao et al.,
2024, arXiv:2403.03507, alg. 2.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from swift_native import _native
from swift_native._formats import GRAD_DTYPES
from swift_native._refuse import is_plain_on_cpu

if TYPE_CHECKING:
    from collections.abc import Sequence

_STORAGES = {torch.float32: 0, torch.bfloat16: 1}
_MOVE = 3


def adamw_moves_(
    moves: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor],
    exp_avg_sqs: Sequence[Tensor],
    steps: Sequence[Tensor],
    *,
    lr: float = 1.0,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    seed: int = 0,
) -> None:
    """Take one step of Adam for each gradient and write where it leads; no weight is read or written.

    Args:
        moves: Contiguous float32 tensors that receive the moves.
        grads: Contiguous gradients of the same shapes, float32, bfloat16 or float16; only read.
        exp_avgs: Contiguous first moments of the same shapes, float32 or bfloat16 (rounded stochastically); updated.
        exp_avg_sqs: Second moments, as the first.
        steps: float32 scalars: the number of steps taken so far; counted up.
        lr: Factor of the moves, >= 0.
        betas: Decay rates of the moments, each in [0, 1).
        eps: Added to the denominator, >= 0.
        seed: Seed of the random bits of stochastic rounding.

    Raises:
        ValueError: A tensor is not what is said above; nothing has changed then.
    """
    rows, num_elements = array("q"), 0
    for index, (move, grad, first, second, step) in enumerate(
        zip(moves, grads, exp_avgs, exp_avg_sqs, steps, strict=True)
    ):
        _check(index, move, grad, first, second, step)
        rows.extend((move.data_ptr(), grad.data_ptr(), first.data_ptr(), second.data_ptr(), *[0] * 6, step.data_ptr()))
        rows.extend((move.numel(), num_elements, GRAD_DTYPES[grad.dtype], 0, _STORAGES[first.dtype], 0))
        num_elements += move.numel()
    options = array("d", [lr, *betas, eps, 0.0, 0.0, 0.0, 0.0, 0.0, seed])
    _native.take_step(_MOVE, rows, options, 1.0, torch.get_num_threads())
    if moves:
        torch.autograd.graph.increment_version([*moves, *exp_avgs, *exp_avg_sqs, *steps])


def _check(index: int, move: Tensor, grad: Tensor, first: Tensor, second: Tensor, step: Tensor) -> None:
    for name, tensor in (("move", move), ("gradient", grad), ("first moment", first), ("second moment", second)):
        if not is_plain_on_cpu(tensor) or not tensor.is_contiguous() or tensor.is_neg() or tensor.shape != move.shape:
            raise ValueError(f"{name} {index} must be contiguous in host memory with shape {tuple(move.shape)}")
    if move.dtype is not torch.float32 or grad.dtype not in GRAD_DTYPES:
        raise ValueError(f"move {index} must be float32 and its gradient float32, bfloat16 or float16")
    if first.dtype not in _STORAGES or second.dtype is not first.dtype:
        raise ValueError(f"the moments of gradient {index} must both be float32 or both bfloat16")
    if step.dtype is not torch.float32 or step.numel() != 1 or not step.is_cpu:
        raise ValueError(f"step {index} must be a float32 scalar in host memory")
