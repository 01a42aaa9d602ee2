"""Exponentials that stay finite, with their gradients: past a bound they go on along their tangent.

The bound is seven tenths of the largest exponent of the type: 62 in float32, 496 in float64. Beyond it the value keeps
growing and the gradient does not.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def bounded_exp(exponent: Tensor) -> Tensor:
    """Return exp(exponent), elementwise."""
    inside = exponent.clamp(max=_bound(exponent))
    return inside.exp() * (1 + (exponent - inside))


def bounded_expm1(exponent: Tensor) -> Tensor:
    """Return exp(exponent) - 1, elementwise, exact near zero."""
    inside = exponent.clamp(max=_bound(exponent))
    return inside.expm1() + inside.exp() * (exponent - inside)


def _bound(exponent: Tensor) -> float:
    return 0.7 * math.log(torch.finfo(exponent.dtype).max)
