"""States in 8 bits: a code for each element, and a scale for each block of 256 elements in memory order.

The codes are described in cpp/kernels/block8.hpp. A state `name` has its scales beside it, as `name_scale`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from swift_native import _native
from swift_native._layout import dense_strides, in_order

SCALE = "_scale"
"""Suffix of the key of a state's scales."""


def num_blocks(num_elements: int) -> int:
    """Return how many blocks `num_elements` elements begin."""
    return -(-num_elements // _native.BLOCK8)


def encode(values: Tensor, *, signed: bool) -> tuple[Tensor, Tensor]:
    """Return codes in the shape and order of `values`, and scales, each value rounded to the nearest code.

    Args:
        values: Dense float32 tensor; not negative unless `signed`.
        signed: Whether codes have a sign.
    """
    codes = torch.empty_like(values, dtype=torch.uint8)
    scales = torch.empty(num_blocks(values.numel()), dtype=torch.uint8)
    _native.encode8(values.data_ptr(), codes.data_ptr(), scales.data_ptr(), values.numel(), signed)
    return codes, scales


def decode(codes: Tensor, scales: Tensor, *, signed: bool) -> Tensor:
    """Return the float32 values of `codes`, in their shape and order."""
    codes = in_order(codes, dense_strides(codes))
    if scales.shape != (num_blocks(codes.numel()),) or scales.dtype is not torch.uint8:
        raise ValueError(f"{codes.numel()} codes need {num_blocks(codes.numel())} scales, got {tuple(scales.shape)}")
    values = torch.empty_like(codes, dtype=torch.float32)
    _native.decode8(codes.data_ptr(), scales.contiguous().data_ptr(), values.data_ptr(), codes.numel(), signed)
    return values
