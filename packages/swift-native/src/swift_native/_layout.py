"""Bring tensors of one shape into one order in memory, so that a kernel can walk them from end to end.

A kernel sees addresses and a count. That is right for a parameter, its gradient and its moments exactly when all are
dense and have the same strides. Whatever is not gets a copy that is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


def dense_strides(tensor: Tensor) -> tuple[int, ...]:
    """Return strides of a dense tensor of this shape: those of `tensor` itself if it is dense."""
    return torch.empty_like(tensor, device="meta", memory_format=torch.preserve_format).stride()


def in_order(tensor: Tensor, strides: Sequence[int]) -> Tensor:
    """Return `tensor` itself if it lies in memory as `strides` say, else a copy that does."""
    alike = all(
        own == other for size, own, other in zip(tensor.shape, tensor.stride(), strides, strict=True) if size > 1
    )
    if alike and not tensor.is_neg():
        return tensor
    return torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype).copy_(tensor)
