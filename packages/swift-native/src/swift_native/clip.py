"""The global norm of gradients, and clipping by it, in native code.

    norm = sqrt(sum of g^2 over all gradients)
    g   <- g * max_norm / (norm + 1e-6)              if that factor is below 1

Pascanu, Mikolov and Bengio, 2013, arXiv:1211.5063, alg. 1; the 1e-6 is that of `torch.nn.utils.clip_grad_norm_`. The
sum is taken in double precision, in an order that does not depend on the number of threads.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from swift_native import _native
from swift_native._formats import GRAD_DTYPES
from swift_native._refuse import check_grad

if TYPE_CHECKING:
    from collections.abc import Iterable


def grad_norm(parameters: Iterable[Tensor] | Tensor) -> Tensor:
    """Return the global norm of the gradients of `parameters`, a float32 scalar; 0 if none has a gradient.

    Raises:
        ValueError: A gradient is not a plain float32, bfloat16 or float16 tensor in host memory.
    """
    grads = _grads(parameters)
    return torch.tensor(_native.norm(_rows([_dense(grad) for grad in grads]), torch.get_num_threads()))


@torch.no_grad()
def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor, max_norm: float, *, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale the gradients of `parameters` down, in place, so that their global norm is at most `max_norm`.

    Args:
        parameters: Parameters; those without gradient count as 0.
        max_norm: Largest norm, >= 0.
        error_if_nonfinite: Raise for a norm that is infinite or not a number, instead of scaling by it.

    Returns:
        The norm before clipping, a float32 scalar.

    Raises:
        ValueError: `max_norm` is negative, or a gradient is not one that the kernels read.
        RuntimeError: The norm is not finite and `error_if_nonfinite` is set.
    """
    if not max_norm >= 0:
        raise ValueError(f"max_norm must be >= 0, got {max_norm}")
    grads = _grads(parameters)
    dense = [_dense(grad) for grad in grads]
    rows, num_threads = _rows(dense), torch.get_num_threads()
    norm = torch.tensor(_native.norm(rows, num_threads))
    if error_if_nonfinite and not norm.isfinite():
        raise RuntimeError(f"the global norm of the gradients is {norm.item()}, so they cannot be clipped by it")
    factor = max_norm / (norm.item() + 1e-6)
    if not factor >= 1:
        _native.scale(rows, factor, num_threads)
        for grad, copy in zip(grads, dense, strict=True):
            if copy.data_ptr() != grad.data_ptr():
                grad.copy_(copy)
        if grads:
            torch.autograd.graph.increment_version(grads)
    return norm


def _grads(parameters: Iterable[Tensor] | Tensor) -> list[Tensor]:
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    grads = []
    for position, param in enumerate(listed):
        if param.grad is not None:
            check_grad(param.grad, param, f"parameter {position}")
            grads.append(param.grad)
    return grads


def _dense(grad: Tensor) -> Tensor:
    """Return `grad` if its elements lie in memory from end to end, in whatever order, else a copy."""
    return grad if torch.ops.aten.is_non_overlapping_and_dense(grad) and not grad.is_neg() else grad.contiguous()


def _rows(grads: list[Tensor]) -> array[int]:
    """Return the rows of cpp/driver/norm.hpp."""
    rows = array("q")
    for grad in grads:
        rows.extend((grad.data_ptr(), grad.numel(), GRAD_DTYPES[grad.dtype]))
    return rows
