"""Checks that option classes share; each raises ValueError as `beta must be > 0, got 0.0`."""

from __future__ import annotations

import math


def require_positive(**values: float) -> None:
    """Raise ValueError unless every value is a number > 0; infinity is refused."""
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be > 0, got {value}")


def require_nonnegative(**values: float) -> None:
    """Raise ValueError unless every value is a number >= 0; infinity is refused."""
    for name, value in values.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be >= 0, got {value}")


def require_between(low: float, high: float, **values: float) -> None:
    """Raise ValueError unless every value lies in [low, high)."""
    for name, value in values.items():
        if not low <= value < high:
            raise ValueError(f"{name} must be in [{low:g}, {high:g}), got {value}")
