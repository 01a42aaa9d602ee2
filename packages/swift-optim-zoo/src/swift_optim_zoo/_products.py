"""Products of float32 matrices in bfloat16 inside, with float32 sums: twice as fast on a CPU with AMX.

Casting both factors first costs most of what the product gains; oneDNN's own switch casts them tile by tile.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

Products = Literal["auto", "float32", "bfloat16"]

LARGE = 1 << 16
"""Elements from which `auto` takes bfloat16."""


def in_bfloat16(matrix: Tensor, products: Products) -> bool:
    """Say whether products with `matrix` are to be taken in bfloat16; `auto`: a large one on a CPU that has AMX."""
    can = matrix.dtype is torch.float32 and matrix.device.type == "cpu" and _switch() is not None
    if products != "auto" or not can:
        return products == "bfloat16" and can
    return matrix.numel() >= LARGE and _has_amx()


@contextmanager
def narrow_products(enabled: bool) -> Iterator[None]:
    """Let float32 products on the CPU be taken in bfloat16 for a while, where `enabled`."""
    switch = _switch()
    if not enabled or switch is None:
        yield
        return
    before = switch.fp32_precision
    switch.fp32_precision = "bf16"
    try:
        yield
    finally:
        switch.fp32_precision = before


@cache
def _has_amx() -> bool:
    return bool(torch.cpu._is_amx_tile_supported())


@cache
def _switch() -> Any:
    """Return what has `fp32_precision`; None with a torch that lacks it."""
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    return matmul if hasattr(matmul, "fp32_precision") else None
